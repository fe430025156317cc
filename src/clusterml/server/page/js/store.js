// What the page knows.  `state` is what a link reproduces; `session` is what the server has said about it.

/** The state of an empty page. */
export const START = Object.freeze({
  source: null, // {shipped} | {build} | {file: {name, text}}
  reading: {}, // cluster, disorder, frame, .. as the API has them
  charge: null, // chosen by the reader; null: the file's, or the one that is proposed
  exchanges: [], // {old, new, sites}, one after the other
  distortions: {}, // mode -> amount
  index: 1, // which normal mode
  seed: 0, // of thermal noise
  ensemble: null, // snapshots of a thermal mean
  engine: { orbitals: "gfn1-pbe", solvent: "" }, // how the engine computes: as the labels of the quick network
  job: null, // of the engine
  measured: null, // {name, text, concentration, path, columns, unit, block}
  bands: null, // a cluster whose published bands are marked
  band: null, // [low, high] in eV, for the shares of the CD
  sharesBy: "engine", // whose shares: engine, network
  fwhm: 0.2, // of computed bands, in eV: the narrowest that networks give
  axis: "nm",
  range: null, // [low, high] in the unit of the axis
  show: { g: false, mirror: false, protocol: true, network: true, networkCurve: false, sameHeight: true, shift: true },
  colour: "element",
  hands: false,
  tab: "distort",
});

export const state = structuredClone(START);
export const session = {};

const listeners = new Map();

/** Call `work` whenever `name` has happened. */
export function on(name, work) {
  listeners.set(name, [...(listeners.get(name) || []), work]);
}

/** Say that `name` has happened. */
export function emit(name, ...values) {
  for (const work of listeners.get(name) || []) work(...values);
}

/** Change the state; `state` happens, which renews the link and the command. */
export function change(values) {
  Object.assign(state, values);
  emit("state");
}

/** Change what is shown. */
export function show(values) {
  change({ show: { ...state.show, ...values } });
  emit("spectra");
}
