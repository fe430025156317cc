// The curves that are drawn: what is laid over what, in which colours, with which bands and marks.

import { isNetworkDrawn, isOutside, mainResult, methodOf, strongestCd } from "./answer.js";
import { number, signed } from "./dom.js";
import { NM_EV, picture } from "./plot.js";
import { session, state } from "./store.js";
import { isDistorted } from "./structure.js";

export const THEMES = {
  light: {
    ink: "#1d2329",
    soft: "#5a6470",
    line: "#e3e7ec",
    card: "#ffffff",
    network: "#0072b2",
    engine: "#d55e00",
    thermal: "#008a66",
    measured: "#1d2329",
    rest: "#868f9a",
  },
  dark: {
    ink: "#e8ecf0",
    soft: "#a3adb8",
    line: "#323a43",
    card: "#1b2026",
    network: "#5ab6f0",
    engine: "#ff9950",
    thermal: "#2fc79c",
    measured: "#f2f4f6",
    rest: "#6d7782",
  },
};
const LEAST_G = 1e-5; // CD below this share of the absorption is not measurable
const FAINT = 0.01; // an axis ends where every curve stays below this share of its largest value
const DASH = { second: "7 3", thermal: "2 3", measured: "8 3 2 3", mirror: "4 4" };
/** Scales that stay while a slider moves: the reach of the CD, and the whole range in eV. */
let steady = {};

/** Another structure has other scales. */
export const forgetScales = () => (steady = {});

/** All curves that are shown now: {name, words, spectrum, colour, dash, shift}. */
export function curves(theme) {
  const list = [],
    add = (name, words, spectrum, more = {}) =>
      spectrum && list.push({ name, words, spectrum, colour: theme[name], dash: DASH[name], ...more });
  if (isDistorted()) addRest(mainResult()?.name || "engine", add);
  const shaken = `thermal mean of ${state.ensemble} snapshots at 300 K, and their spread${shiftWords("network")}`;
  add("thermal", shaken, session.thermal?.spectrum, { shift: shiftOf("network") });
  const main = mainResult()?.name || "network",
    other = main === "network" ? "engine" : "network";
  for (const name of [other, main]) {
    const [words, result] = computed()[name];
    const style = name === main ? { width: 2.25 } : { dash: DASH.second };
    add(name, `${words}${shiftWords(name)}`, result?.spectrum, { shift: shiftOf(name), ...style });
  }
  add("measured", measuredWords(), session.measured, { factors: factors() });
  return list;
}

/** The curve without distortions, by what `name` says, if it is of the charge and method that now count. */
function addRest(name, add) {
  const { result, method } = session.rest?.[name] ?? {};
  if (method !== methodOf(name)) return;
  add("rest", `not distorted${shiftWords(name)}`, result?.spectrum, { width: 1.5, shift: shiftOf(name) });
}

const computed = () => ({
  engine: [`engine, ${engineWords()}`, session.engine],
  network: [isOutside() ? "network, which does not know this structure" : "network", isNetworkDrawn() && session.prediction],
});

const engineWords = () => [state.engine.orbitals, state.engine.solvent].filter(Boolean).join(" in ");

/** What the energies of a curve are shifted by, in eV, to be nearest to the measured ones. */
const shiftOf = (name) => {
  const fit = session.comparison?.[name] ?? session.published?.[name];
  return (state.show.shift && fit?.shift_ev) || 0;
};
const shiftWords = (name) => (shiftOf(name) ? `, shifted by ${signed(shiftOf(name), 2)} eV` : "");

const measuredWords = () => {
  const sizes = Object.values(factors()).map((factor) => `× ${number(factor, 2)}`);
  const known = sizes.filter((words) => words !== "× 1");
  return `${state.measured?.name || ""}${known.length ? ` (${[...new Set(known)].join(", ")})` : ""}`;
};

/** What the measured curves are drawn larger by, so that they are as high as the computed ones where both are known. */
function factors() {
  const { name, result } = mainResult() ?? { name: "engine", result: session.engine };
  const factor = (key) => {
    if (!state.show.sameHeight || !result || !session.measured) return 1;
    const both = [points(result.spectrum, key, shiftOf(name)), points(session.measured, key, 0)];
    const low = Math.max(...both.map((curve) => Math.min(...curve.map(([energy]) => energy)))),
      high = Math.min(...both.map((curve) => Math.max(...curve.map(([energy]) => energy))));
    const [ours, theirs] = both.map((curve) =>
      Math.max(0, ...curve.filter(([energy]) => energy >= low && energy <= high).map(([, value]) => Math.abs(value))),
    );
    return ours && theirs ? ours / theirs : 1;
  };
  return { epsilon: factor("epsilon"), delta_epsilon: factor("delta_epsilon") };
}

/** [energy in eV, value] where there is a value. */
const points = (spectrum, key, shift) =>
  spectrum.energy_ev.map((energy, k) => [energy + shift, spectrum[key][k]]).filter(([, value]) => Number.isFinite(value));

/** The picture at a width: its SVG and where things are in it; with a `legend` for files. */
export function makePicture(width, height, theme, withLegend = false) {
  const shown = curves(theme);
  if (!shown.length) return null;
  const range = state.range || wholeRange(shown);
  const panels = [absorption(shown, theme), cd(shown, theme), ...(state.show.g ? [dissymmetry(shown)] : [])];
  const legend = withLegend ? [...[...shown].reverse(), ...(state.show.mirror ? [mirrorEntry(theme)] : [])] : [];
  const drawn = picture({ panels, axis: state.axis, range, width, height, theme, legend });
  steady.reach = drawn.frames[1].reach;
  return { ...drawn, shown, range, panels };
}

export const mirrorEntry = (theme) => ({ words: "mirror image", colour: mainColour(theme), dash: DASH.mirror });

/** The colour of the curve that counts. */
export const mainColour = (theme) => theme[mainResult()?.name || "network"];

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

function absorption(shown, theme) {
  const bands = shown
    .filter(({ name, spectrum }) => name === "network" && state.show.network && spectrum.epsilon_std)
    .map((curve) => bandOf(curve, "epsilon", curve.spectrum.epsilon_std, 0.2, true));
  bands.unshift(...thermalBands(shown, "epsilon"));
  for (const band of bands) band.low = band.low.map((value) => (value === null ? null : Math.max(0, value)));
  return {
    title: "Absorption ε",
    unit: "L mol⁻¹ cm⁻¹",
    signed: false,
    curves: withValues(shown, "epsilon"),
    bands,
    marks: [],
    lines: publishedLines("absorption", theme),
  };
}

/** Where a published band is. */
function publishedLines(quantity, theme) {
  const { network, engine } = session.published || {};
  return ((network ?? engine)?.matches || [])
    .filter(({ measured }) => measured.quantity === quantity)
    .map(({ measured: { nm, kind, state: phase } }) => {
      const words = [`${number(nm)} nm`, kind, phase].filter(Boolean).join(", ");
      return { x: NM_EV / nm, colour: theme.measured, words };
    });
}

/** The spread of the snapshots about their mean. */
function thermalBands(shown, key) {
  const curve = shown.find(({ name }) => name === "thermal"),
    std = session.thermal?.thermal?.[`${key}_std`];
  return curve && std ? [bandOf(curve, key, std, 0.18, false)] : [];
}

function cd(shown, theme) {
  const key = "delta_epsilon",
    lines = withValues(shown, key),
    bands = thermalBands(shown, key);
  const main = shown.find(({ name }) => name === mainResult()?.name);
  for (const curve of shown.filter(({ name }) => name === "network" || name === "engine")) {
    const { label_error: protocol, delta_epsilon_std: std } = curve.spectrum;
    if (protocol?.some((value) => value !== null) && state.show.protocol)
      bands.push({
        ...bandOf(curve, key, both(protocol, std), 0.1, false),
        words: std ? "error of network and method" : "error of the method",
      });
    if (std && state.show.network)
      bands.push({ ...bandOf(curve, key, std, 0.24, true), words: "error of the network" });
  }
  if (main && state.show.mirror) {
    const line = curveOf(main, key);
    lines.push({ ...line, y: line.y.map((value) => -value), dash: DASH.mirror, width: 1.75 });
  }
  const highest = Math.max(...(main?.spectrum.epsilon || [0]));
  return {
    title: "CD Δε",
    unit: "L mol⁻¹ cm⁻¹",
    signed: true,
    curves: lines,
    bands,
    least: LEAST_G * highest,
    held: session.isQuick ? steady.reach : 0,
    marks: main ? marksOf(main, theme) : [],
    lines: publishedLines("cd", theme),
  };
}

const both = (protocol, std) => protocol.map((value, k) => (value === null ? null : Math.hypot(value, std?.[k] ?? 0)));

function dissymmetry(shown) {
  return {
    title: "g = Δε / ε",
    unit: "",
    signed: true,
    curves: withValues(shown, "g_abs"),
    bands: [],
    marks: [],
    least: LEAST_G,
  };
}

function withValues(shown, key) {
  return shown
    .filter(({ spectrum }) => spectrum[key]?.some((value) => value !== null))
    .map((curve) => curveOf(key === "g_abs" ? { ...curve, factors: null } : curve, key));
}

/** A circle at each band whose sign is not supported, a diamond at the strongest one. */
function marksOf({ colour, shift = 0 }, theme) {
  const { reliability } = mainResult().result,
    highest = strongestCd(mainResult().result);
  const doubtful = (reliability?.bands || [])
    .filter(({ supported }) => supported === false)
    .map((band) => ({
      x: band.energy_ev + shift,
      y: band.height,
      colour,
      kind: "doubtful",
      words: `${number(band.wavelength_nm)} nm: sign not supported (${number(100 * band.sign_probability, 2)} %)`,
    }));
  const strongest = highest
    ? [
        {
          x: highest.energy_ev + shift,
          y: highest.height,
          kind: "strongest",
          colour: theme.ink,
          words: highest.sentence,
        },
      ]
    : [];
  return [...(state.show.protocol ? doubtful : []), ...strongest];
}

function wholeRange(shown) {
  let low = Infinity,
    high = 0;
  const others = shown.filter(({ name }) => name !== "rest");
  for (const { spectrum, shift = 0 } of others.length ? others : shown) {
    low = Math.min(low, firstSeen(spectrum) + shift);
    high = Math.max(high, Math.min(6.2, Math.max(...spectrum.energy_ev) + shift));
  }
  if (!Number.isFinite(low)) low = 1;
  if (!(session.isQuick && steady.range)) steady.range = [Math.floor(10 * low) / 10, high];
  const [first, last] = steady.range;
  if (state.axis === "ev") return steady.range;
  return [Math.ceil(NM_EV / last - 1e-9), Math.min(1200, 50 * Math.ceil(NM_EV / first / 50))];
}

/** The lowest energy at which a curve stands out. */
function firstSeen({ energy_ev: energies, epsilon, delta_epsilon: cd }) {
  const least = [epsilon, cd].map((values) => FAINT * Math.max(...values.map((value) => Math.abs(value ?? 0)), 1e-3));
  const seen = energies.filter((_, k) => Math.abs(epsilon[k] ?? 0) > least[0] || Math.abs(cd[k] ?? 0) > least[1]);
  return Math.min(...seen);
}

/** The picture for files: on white, wide enough for print, with its legend. */
export const filePicture = () => makePicture(760, 210, THEMES.light, true);
