// The card of the spectra: absorption, CD and g, how sure they are, and what is laid over them.

import { byId, fill, make, number, signed } from "./dom.js";
import { NM_EV, picture } from "./plot.js";
import { change, on, session, show, state } from "./store.js";
import { isDistorted } from "./structure.js";

const THEMES = {
  light: { ink: "#1d2329", soft: "#5a6470", line: "#e3e7ec", card: "#ffffff",
           network: "#0072b2", engine: "#d55e00", thermal: "#008a66", measured: "#1d2329", rest: "#9aa3ad" },
  dark: { ink: "#e8ecf0", soft: "#a3adb8", line: "#323a43", card: "#1b2026",
          network: "#5ab6f0", engine: "#ff9950", thermal: "#2fc79c", measured: "#f2f4f6", rest: "#6d7782" },
};
const LEAST_G = 1e-5; // CD below this share of the absorption is not measurable
const FAINT = 0.01; // an axis ends where every curve stays below this share of its largest value
const DASH = { engine: "7 3", thermal: "2 3", measured: "8 3 2 3", mirror: "4 4" };
let drawn = null, held = {};

/** Which colours are in force? */
export const themeName = () => document.documentElement.dataset.theme ||
  (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

/** Set the card up. */
export function startSpectra() {
  for (const name of ["nm", "ev"]) byId(`axis-${name}`).addEventListener("change", () => {
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
    held = {};
    draw();
  });
  on("theme", draw);
  on("tab", draw);
  listenToPointer(byId("plot"));
  new ResizeObserver(draw).observe(byId("plot"));
}

function readRange() {
  const low = Number(byId("range-from").value), high = Number(byId("range-to").value);
  if (low > 0 && high > low) change({ range: [low, high] });
  draw();
}

/** All curves that are shown now: {name, words, spectrum, colour, dash, shift}. */
export function curves(theme) {
  const list = [], add = (name, words, spectrum, more = {}) =>
    spectrum && list.push({ name, words, spectrum, colour: theme[name], dash: DASH[name], ...more });
  if (isDistorted()) add("rest", "not distorted", session.rest?.spectrum, { width: 1.5 });
  add("thermal", `thermal mean of ${state.ensemble} snapshots at 300 K, and their spread`, session.thermal?.spectrum);
  add("engine", `engine${shiftWords("engine")}`, session.engine?.spectrum, { shift: shiftOf("engine") });
  add("network", `network${shiftWords("network")}`, session.prediction?.spectrum, { shift: shiftOf("network"), width: 2.25 });
  add("measured", measuredWords(), session.measured, { factors: factors() });
  return list;
}

/** What the energies of a curve are shifted by, in eV, to be nearest to the measured ones. */
const shiftOf = (name) => (state.show.shift && session.comparison?.[name]?.shift_ev) || 0;
const shiftWords = (name) => (shiftOf(name) ? `, shifted by ${signed(shiftOf(name), 2)} eV` : "");

const measuredWords = () => {
  const sizes = Object.values(factors()).map((factor) => `× ${number(factor, 2)}`);
  const known = sizes.filter((words) => words !== "× 1");
  return `${state.measured?.name || ""}${known.length ? ` (${[...new Set(known)].join(", ")})` : ""}`;
};

/** What the measured curves are drawn larger by, so that they are as high as the computed ones. */
function factors() {
  const reference = session.prediction?.spectrum || session.engine?.spectrum;
  const high = (values) => Math.max(...values.map((value) => Math.abs(value ?? 0)));
  const factor = (key) => {
    const ours = reference && high(reference[key]), theirs = session.measured ? high(session.measured[key]) : 0;
    return state.show.sameHeight && ours && theirs ? ours / theirs : 1;
  };
  return { epsilon: factor("epsilon"), delta_epsilon: factor("delta_epsilon") };
}

/** The picture at a width: its SVG and where things are in it; with a `legend` for files. */
export function makePicture(width, height, theme, withLegend = false) {
  const shown = curves(theme);
  if (!shown.length) return null;
  const range = state.range || wholeRange(shown);
  const panels = [absorption(shown), cd(shown, theme), ...(state.show.g ? [dissymmetry(shown)] : [])];
  const legend = withLegend ? [...[...shown].reverse(), ...(state.show.mirror ? [mirrorEntry(theme)] : [])] : [];
  return { ...picture({ panels, axis: state.axis, range, width, height, theme, legend }), shown, range, panels };
}

const mirrorEntry = (theme) => ({ words: "mirror image", colour: theme.network, dash: DASH.mirror });

function curveOf({ spectrum, colour, dash, width, shift = 0, factors: by }, key) {
  const factor = by?.[key] ?? 1;
  const y = factor === 1 ? spectrum[key] : spectrum[key].map((value) => (value === null ? null : factor * value));
  return { x: shift ? spectrum.energy_ev.map((energy) => energy + shift) : spectrum.energy_ev, y, colour, dash, width };
}

function bandOf(curve, key, std, opacity, counts) {
  const { x, y, colour } = curveOf(curve, key);
  const at = (k, side) => (std[k] === null || y[k] === null ? null : y[k] + side * std[k]);
  return { x, low: y.map((_, k) => at(k, -1)), high: y.map((_, k) => at(k, 1)), colour, opacity, counts };
}

function absorption(shown) {
  const bands = shown.filter(({ name, spectrum }) => name === "network" && state.show.network && spectrum.epsilon_std)
    .map((curve) => bandOf(curve, "epsilon", curve.spectrum.epsilon_std, 0.2, true));
  bands.unshift(...thermalBands(shown, "epsilon"));
  for (const band of bands) band.low = band.low.map((value) => (value === null ? null : Math.max(0, value)));
  return { title: "Absorption ε", unit: "L mol⁻¹ cm⁻¹", signed: false, curves: withValues(shown, "epsilon"), bands, marks: [] };
}

/** The spread of the snapshots about their mean. */
function thermalBands(shown, key) {
  const curve = shown.find(({ name }) => name === "thermal"), std = session.thermal?.thermal?.[`${key}_std`];
  return curve && std ? [bandOf(curve, key, std, 0.18, false)] : [];
}

function cd(shown, theme) {
  const key = "delta_epsilon", lines = withValues(shown, key), bands = thermalBands(shown, key);
  const network = shown.find(({ name }) => name === "network");
  for (const curve of shown.filter(({ name }) => name === "network" || name === "engine")) {
    const { label_error: protocol, delta_epsilon_std: std } = curve.spectrum;
    if (protocol && state.show.protocol) bands.push(bandOf(curve, key, both(protocol, std), 0.1, false));
    if (std && state.show.network) bands.push(bandOf(curve, key, std, 0.24, true));
  }
  if (network && state.show.mirror) {
    const line = curveOf(network, key);
    lines.push({ ...line, y: line.y.map((value) => -value), dash: DASH.mirror, width: 1.75 });
  }
  const highest = Math.max(...(network?.spectrum.epsilon || [0]));
  const reach = Math.max(...lines.flatMap(({ y }) => y.map((value) => Math.abs(value ?? 0))));
  held.cd = session.isQuick ? Math.max(held.cd || 0, reach) : reach;
  return {
    title: "CD Δε", unit: "L mol⁻¹ cm⁻¹", signed: true, curves: lines, bands, least: LEAST_G * highest, held: held.cd,
    marks: network ? marksOf(network, theme) : [],
  };
}

const both = (protocol, std) => protocol.map((value, k) => (value === null ? null : Math.hypot(value, std?.[k] ?? 0)));

function dissymmetry(shown) {
  return { title: "g = Δε / ε", unit: "", signed: true, curves: withValues(shown, "g_abs"), bands: [], marks: [], least: LEAST_G };
}

function withValues(shown, key) {
  return shown.filter(({ spectrum }) => spectrum[key]?.some((value) => value !== null))
    .map((curve) => curveOf(key === "g_abs" ? { ...curve, factors: null } : curve, key));
}

/** A circle at each band whose sign is not supported, a diamond at the strongest one. */
function marksOf({ colour, shift = 0 }, theme) {
  const { reliability, significance } = session.prediction;
  const doubtful = (reliability?.bands || []).filter(({ supported }) => supported === false).map((band) => ({
    x: band.energy_ev + shift, y: band.height, colour, kind: "doubtful",
    words: `${number(band.wavelength_nm)} nm: sign not supported (${number(100 * band.sign_probability, 2)} %)`,
  }));
  const strongest = significance?.energy_ev
    ? [{ x: significance.energy_ev + shift, y: significance.height, kind: "strongest", colour: theme.ink, words: significance.sentence }]
    : [];
  return [...(state.show.protocol ? doubtful : []), ...strongest];
}

function wholeRange(shown) {
  let low = Infinity, high = 0;
  for (const { name, spectrum } of shown) {
    if (name === "rest") continue;
    low = Math.min(low, firstSeen(spectrum));
    high = Math.max(high, Math.min(6.2, Math.max(...spectrum.energy_ev)));
  }
  if (!Number.isFinite(low)) low = 1;
  const steady = session.isQuick && drawn?.whole ? drawn.whole : [Math.floor(10 * low) / 10, high];
  if (drawn) drawn.whole = steady;
  if (state.axis === "ev") return steady;
  return [Math.ceil(NM_EV / steady[1] - 1e-9), Math.min(1200, 50 * Math.ceil(NM_EV / steady[0] / 50))];
}

/** The lowest energy at which a curve stands out. */
function firstSeen({ energy_ev: energies, epsilon, delta_epsilon: cd }) {
  const least = [epsilon, cd].map((values) => FAINT * Math.max(...values.map((value) => Math.abs(value ?? 0)), 1e-3));
  const seen = energies.filter((_, k) => Math.abs(epsilon[k] ?? 0) > least[0] || Math.abs(cd[k] ?? 0) > least[1]);
  return Math.min(...seen);
}

const draw = () => {
  const box = byId("plot"), theme = THEMES[themeName()];
  for (const name of ["nm", "ev"]) byId(`axis-${name}`).checked = state.axis === name;
  for (const input of document.querySelectorAll("[data-show]")) input.checked = state.show[input.dataset.show];
  if (!box.clientWidth) return;
  drawn = { ...makePicture(box.clientWidth, box.clientWidth < 500 ? 165 : 225, theme), whole: drawn?.whole };
  byId("plot-svg").innerHTML = drawn.svg || "";
  byId("no-spectrum").hidden = Boolean(drawn.svg);
  if (!drawn.svg) return;
  drawMini(theme);
  if (document.activeElement?.id?.startsWith("range-") !== true) {
    [byId("range-from").value, byId("range-to").value] = drawn.range.map((value) => Number(value.toPrecision(4)));
  }
  fill(byId("legend"), [...drawn.shown].reverse().map(legendEntry), state.show.mirror ? legendEntry(mirrorEntry(theme)) : []);
  byId("plot").setAttribute("aria-label", `Spectra: ${drawn.shown.map(({ words }) => words).join(", ")}. ` +
    (session.prediction?.significance.sentence || ""));
};

/** On a narrow page, the CD beside the sliders. */
function drawMini(theme) {
  const box = byId("mini");
  if (!box.clientWidth) return;
  const { panels: [, panel], range } = drawn;
  box.innerHTML = picture({ panels: [{ ...panel, bands: [], marks: [] }], axis: state.axis, range, width: box.clientWidth, height: 96, theme, name: "mini" }).svg;
}

function legendEntry({ words, colour, dash }) {
  const line = `<svg width="26" height="8" aria-hidden="true"><line x1="1" x2="25" y1="4" y2="4" stroke="${colour}" ` +
    `stroke-width="2.5"${dash ? ` stroke-dasharray="${dash}"` : ""}/></svg>`;
  const entry = make("span", { class: "entry" });
  entry.innerHTML = line;
  entry.append(words);
  return entry;
}

/** The picture for files: on white, wide enough for print, with its legend. */
export const filePicture = () => makePicture(760, 210, THEMES.light, true);

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
  const k = nearest(spectrum.energy_ev, energy - shift), std = spectrum.delta_epsilon_std?.[k];
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
