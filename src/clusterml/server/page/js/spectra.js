// The card of the spectra: absorption, CD and g, their axis, the legend, and what is under the pointer.

import { isAdvised, mainResult, strongestCd } from "./answer.js";
import { forgetScales, mainColour, makePicture, mirrorEntry, THEMES } from "./curves.js";
import { byId, fill, make, number, numberIn, signed } from "./dom.js";
import { readEnds, say } from "./notices.js";
import { NM_EV, picture } from "./plot.js";
import { change, emit, on, session, show, state } from "./store.js";
import { settleAnew } from "./structure.js";

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
    input.addEventListener("change", () => {
      if (input.dataset.show === "networkCurve") showNetwork(input.checked);
      else show({ [input.dataset.show]: input.checked });
    });
  }
  for (const name of ["from", "to"]) byId(`range-${name}`).addEventListener("change", readRange);
  byId("fwhm").addEventListener("change", readWidth);
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
  const range = readEnds("The axis", ["range-from", "range-to"]);
  if (range) change({ range });
  draw();
}

/** The width of the bands that the reader wrote. */
function readWidth() {
  const [least, most] = ["min", "max"].map((name) => Number(byId("fwhm")[name])),
    fwhm = numberIn(byId("fwhm").value);
  if (!(fwhm >= least && fwhm <= most)) say(`Bands are ${least} to ${most} eV wide: the network gives no narrower ones.`);
  else if (fwhm !== state.fwhm) {
    change({ fwhm, job: null });
    if (session.geometry) settleAnew();
  }
  draw();
}

const draw = () => {
  const box = byId("plot"),
    theme = THEMES[themeName()];
  for (const name of ["nm", "ev"]) byId(`axis-${name}`).checked = state.axis === name;
  for (const input of document.querySelectorAll("[data-show]")) input.checked = state.show[input.dataset.show];
  if (document.activeElement !== byId("fwhm")) byId("fwhm").value = state.fwhm;
  byId("show-network").hidden = !isAdvised();
  if (!box.clientWidth) return;
  drawn = { ...makePicture(box.clientWidth, box.clientWidth < 500 ? 165 : 225, theme) };
  byId("plot-svg").innerHTML = drawn.svg || "";
  byId("no-spectrum").hidden = Boolean(drawn.svg);
  fill(byId("no-spectrum"), emptyWords(), " ", guessButton());
  if (!drawn.svg) return empty();
  drawMini(theme);
  if (document.activeElement?.id?.startsWith("range-") !== true) {
    [byId("range-from").value, byId("range-to").value] = drawn.range.map((value) => Number(value.toPrecision(4)));
  }
  fill(
    byId("legend"),
    [...drawn.shown].reverse().map(legendEntry),
    state.show.mirror ? legendEntry(mirrorEntry(theme)) : [],
  );
  fill(byId("keys"), keys().map(legendEntry));
  byId("plot").setAttribute(
    "aria-label",
    `Spectra: ${drawn.shown.map(({ words }) => words).join(", ")}. ` +
      ((mainResult() && strongestCd(mainResult().result)?.sentence) || ""),
  );
};

function emptyWords() {
  if (!isAdvised()) return "No spectrum yet.";
  return state.job ? "The engine is computing the spectrum." : "No spectrum yet: the engine has to compute it.";
}

/** Draws what the network says all the same. */
function guessButton() {
  if (!isAdvised() || !session.prediction) return null;
  return make("button", { type: "button", onclick: () => showNetwork(true) }, "Draw the network's guess");
}

function showNetwork(wanted) {
  show({ networkCurve: wanted });
  for (const name of ["engine", "ensemble"]) emit(name); // what is laid over follows
}

/** Nothing is drawn. */
function empty() {
  for (const name of ["legend", "keys", "mini"]) fill(byId(name));
  byId("readout").textContent = "";
  byId("cursor").hidden = true;
  byId("plot").setAttribute("aria-label", emptyWords());
}

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

/** What bands and marks mean, of those that are drawn. */
function keys() {
  const { bands, marks } = drawn.panels[1];
  const colour = mainColour(THEMES[themeName()]);
  const kinds = [
    ["strongest", "strongest CD"],
    ["doubtful", "sign not supported"],
  ].filter(([kind]) => marks.some((mark) => mark.kind === kind));
  const shades = bands.filter(({ words }) => words);
  const published = drawn.panels.some(({ lines }) => lines?.length);
  return [
    ...(published ? [{ words: "published band", colour: THEMES[themeName()].measured, kind: "line" }] : []),
    ...shades.map(({ words, colour: shade, opacity }) => ({ words, colour: shade, opacity })),
    ...kinds.map(([kind, words]) => ({ words, colour, kind })),
  ];
}

function legendEntry(entry) {
  const element = make("span", { class: "entry" });
  element.innerHTML = `<svg width="26" height="12" aria-hidden="true">${symbol(entry)}</svg>`;
  element.append(entry.words);
  return element;
}

function symbol({ colour, dash, kind, opacity }) {
  if (opacity)
    return `<rect x="1" y="0" width="24" height="12" rx="2" fill="${colour}" fill-opacity="${2 * opacity}"/>`;
  if (kind === "line")
    return `<line x1="13" x2="13" y1="0" y2="12" stroke="${colour}" stroke-width="1.5" stroke-dasharray="2 3"/>`;
  if (kind === "strongest") return `<path d="M13 1l5 5l-5 5l-5 -5z" fill="currentColor"/>`;
  if (kind === "doubtful") return `<circle cx="13" cy="6" r="4" fill="none" stroke="${colour}" stroke-width="1.5"/>`;
  const dashes = dash ? ` stroke-dasharray="${dash}"` : "";
  return `<line x1="1" x2="25" y1="6" y2="6" stroke="${colour}" stroke-width="2.5"${dashes}/>`;
}

function listenToPointer(box) {
  let start = null;
  const across = (event) => event.clientX - box.getBoundingClientRect().left;
  const mark = (from, to) => {
    Object.assign(byId("zoom").style, { left: `${Math.min(from, to)}px`, width: `${Math.abs(to - from)}px` });
    Object.assign(byId("zoom").style, { top: byId("cursor").style.top, height: byId("cursor").style.height });
    byId("zoom").hidden = Math.abs(to - from) < 8;
  };
  box.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || !drawn?.svg) return;
    start = across(event);
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => start !== null && mark(start, across(event)));
  box.addEventListener("pointerup", (event) => {
    if (start !== null && !byId("zoom").hidden) zoomTo([start, across(event)]);
    start = null;
    byId("zoom").hidden = true;
  });
  box.addEventListener("dblclick", () => {
    change({ range: null });
    draw();
  });
  box.addEventListener("pointermove", (event) => readAt(event.clientX - box.getBoundingClientRect().left));
  box.addEventListener("pointerleave", () => readAt(null));
  box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !drawn?.svg) return;
    event.preventDefault();
    readAt(Math.max(drawn.left, Math.min(drawn.right, (drawn.cursor ?? (drawn.left + drawn.right) / 2) + 4 * step)));
  });
}

/** Where on the axis a place of the picture is. */
const valueAt = (x) =>
  drawn.range[0] + ((x - drawn.left) / (drawn.right - drawn.left)) * (drawn.range[1] - drawn.range[0]);

function zoomTo(places) {
  const inside = places.map((x) => Math.max(drawn.left, Math.min(drawn.right, x))).sort((a, b) => a - b);
  change({ range: inside.map((x) => Number(valueAt(x).toPrecision(4))) });
  draw();
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
  const energy = state.axis === "nm" ? NM_EV / valueAt(x) : valueAt(x);
  byId("readout").textContent = readingAt(energy);
}

function readingAt(energy) {
  const named = (wanted) => drawn.shown.find(({ name }) => name === wanted);
  const read = new Set([named(mainResult()?.name) || drawn.shown[0], named("measured")]);
  const place = `${(NM_EV / energy).toFixed(0)} nm, ${energy.toFixed(2)} eV`;
  return [place, ...[...read].filter(Boolean).map((curve) => valuesAt(curve, energy))].join("\n");
}

/** What a curve is at an energy, by its name; a measured one as it was measured, however high it is drawn. */
function valuesAt({ name, words, spectrum, shift = 0 }, energy) {
  const k = nearest(spectrum.energy_ev, energy - shift),
    at = (key) => (k === null ? null : spectrum[key]?.[k]);
  const std = at("delta_epsilon_std"),
    error = Number.isFinite(std) ? ` ± ${number(std, 2)}` : "";
  const values = `ε ${number(at("epsilon"))},  Δε ${signed(at("delta_epsilon"))}${error},  g ${signed(at("g_abs"), 2)}`;
  return `${name === "measured" ? state.measured.name : words}:  ${values}`;
}

/** The place of the value next to the wanted one; null beyond the ends. */
function nearest(values, wanted) {
  if (wanted < Math.min(...values) || wanted > Math.max(...values)) return null;
  return values.reduce((best, value, k) => (Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? k : best), 0);
}
