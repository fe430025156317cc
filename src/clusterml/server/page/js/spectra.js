// The card of the spectra: absorption, CD and g, their axis, the legend, and what is under the pointer.

import { forgetScales, makePicture, mirrorEntry, THEMES } from "./curves.js";
import { byId, fill, make, number, signed } from "./dom.js";
import { NM_EV, picture } from "./plot.js";
import { change, on, session, show, state } from "./store.js";

let drawn = null; // the picture on the page, and where things are in it

/** Which colours are in force? */
export const themeName = () =>
  document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

/** Set the card up. */
export function startSpectra() {
  for (const name of ["nm", "ev"])
    byId(`axis-${name}`).addEventListener("change", () => {
      change({ axis: name, range: null });
      draw();
    });
  for (const input of document.querySelectorAll("[data-show]")) {
    input.addEventListener("change", () => show({ [input.dataset.show]: input.checked }));
  }
  for (const name of ["from", "to"]) byId(`range-${name}`).addEventListener("change", readRange);
  byId("range-all").addEventListener("click", () => {
    change({ range: null });
    draw();
  });
  on("spectra", draw);
  on("structure", () => {
    forgetScales();
    draw();
  });
  on("theme", draw);
  on("tab", draw);
  listenToPointer(byId("plot"));
  new ResizeObserver(draw).observe(byId("plot"));
}

function readRange() {
  const low = Number(byId("range-from").value),
    high = Number(byId("range-to").value);
  if (low > 0 && high > low) change({ range: [low, high] });
  draw();
}

const draw = () => {
  const box = byId("plot"),
    theme = THEMES[themeName()];
  for (const name of ["nm", "ev"]) byId(`axis-${name}`).checked = state.axis === name;
  for (const input of document.querySelectorAll("[data-show]")) input.checked = state.show[input.dataset.show];
  if (!box.clientWidth) return;
  drawn = { ...makePicture(box.clientWidth, box.clientWidth < 500 ? 165 : 225, theme) };
  byId("plot-svg").innerHTML = drawn.svg || "";
  byId("no-spectrum").hidden = Boolean(drawn.svg);
  if (!drawn.svg) return;
  drawMini(theme);
  if (document.activeElement?.id?.startsWith("range-") !== true) {
    [byId("range-from").value, byId("range-to").value] = drawn.range.map((value) => Number(value.toPrecision(4)));
  }
  fill(
    byId("legend"),
    [...drawn.shown].reverse().map(legendEntry),
    state.show.mirror ? legendEntry(mirrorEntry(theme)) : [],
  );
  byId("plot").setAttribute(
    "aria-label",
    `Spectra: ${drawn.shown.map(({ words }) => words).join(", ")}. ` +
      (session.prediction?.significance.sentence || ""),
  );
};

/** On a narrow page, the CD beside the sliders. */
function drawMini(theme) {
  const box = byId("mini");
  if (!box.clientWidth) return;
  const {
    panels: [, panel],
    range,
  } = drawn;
  box.innerHTML = picture({
    panels: [{ ...panel, bands: [], marks: [] }],
    axis: state.axis,
    range,
    width: box.clientWidth,
    height: 96,
    theme,
    name: "mini",
  }).svg;
}

function legendEntry({ words, colour, dash }) {
  const line =
    `<svg width="26" height="8" aria-hidden="true"><line x1="1" x2="25" y1="4" y2="4" stroke="${colour}" ` +
    `stroke-width="2.5"${dash ? ` stroke-dasharray="${dash}"` : ""}/></svg>`;
  const entry = make("span", { class: "entry" });
  entry.innerHTML = line;
  entry.append(words);
  return entry;
}

function listenToPointer(box) {
  box.addEventListener("pointermove", (event) => readAt(event.clientX - box.getBoundingClientRect().left));
  box.addEventListener("pointerleave", () => readAt(null));
  box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !drawn?.svg) return;
    event.preventDefault();
    readAt(Math.max(drawn.left, Math.min(drawn.right, (drawn.cursor ?? (drawn.left + drawn.right) / 2) + 4 * step)));
  });
}

function readAt(x) {
  const line = byId("cursor");
  if (!drawn?.svg) return;
  const inside = x !== null && x >= drawn.left && x <= drawn.right;
  line.hidden = !inside;
  if (!inside) return (byId("readout").textContent = "");
  drawn.cursor = x;
  line.style.left = `${x}px`;
  line.style.top = `${drawn.frames[0].top}px`;
  line.style.height = `${drawn.bottom - drawn.frames[0].top}px`;
  const value = drawn.range[0] + ((x - drawn.left) / (drawn.right - drawn.left)) * (drawn.range[1] - drawn.range[0]);
  const energy = state.axis === "nm" ? NM_EV / value : value;
  byId("readout").textContent = readingAt(energy);
}

function readingAt(energy) {
  const first = drawn.shown.find(({ name }) => name === "network") || drawn.shown[0];
  const { spectrum, shift = 0 } = first;
  const k = nearest(spectrum.energy_ev, energy - shift),
    std = spectrum.delta_epsilon_std?.[k];
  const error = Number.isFinite(std) && std !== null ? ` ± ${number(std, 2)}` : "";
  const place = `${(NM_EV / energy).toFixed(0)} nm, ${energy.toFixed(2)} eV`;
  return `${place}:  ε ${number(spectrum.epsilon[k])},  Δε ${signed(spectrum.delta_epsilon[k])}${error},  g ${signed(spectrum.g_abs?.[k] ?? NaN, 2)}`;
}

function nearest(values, wanted) {
  let best = 0;
  values.forEach((value, k) => {
    if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = k;
  });
  return best;
}
