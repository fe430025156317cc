// Whose spectrum counts: the network's, or the engine's where the server advises it (as `predict --engine auto` decides).

import { post } from "./api.js";
import { number, signed } from "./dom.js";
import { during } from "./notices.js";
import { session, START, state } from "./store.js";

/** Should the engine compute what is shown? */
export const isAdvised = () => Boolean(session.advice?.reason);

/** The network's checkpoint as a key; a frame that follows a slider says it in another place. */
export function modelKey() {
  const { model, method } = session.prediction ?? {};
  return model || method ? { model: model ?? method } : {};
}

/** The width of the bands as a key, where the reader chose another. */
export const widthKey = () => (state.fwhm === START.fwhm ? {} : { fwhm: state.fwhm });

/** How a curve of the network or the engine is computed, as far as the reader chooses it. */
export const methodOf = (name) => JSON.stringify([state.charge, state.fwhm, name === "engine" ? state.engine : null]);

/** Is the structure out of the network's domain? */
export const isOutside = () => session.prediction?.in_domain === false;

/** Is the network's curve drawn?  Only when asked for where it does not know the structure, and beside the engine that was
 * advised; while a slider moves there is no other. */
export const isNetworkDrawn = () =>
  Boolean(session.isQuick || state.show.networkCurve || !isAdvised() || !(isOutside() || session.engine));

/** The result that counts, {name, result}; null where there is none that is worth it. */
export function mainResult() {
  const { engine, prediction } = session;
  if (engine && (isAdvised() || !prediction)) return { name: "engine", result: engine };
  return prediction && isNetworkDrawn() ? { name: "network", result: prediction } : null;
}

/** The strongest CD band of a result, {energy_ev, height, sentence}; null without a CD. */
export function strongestCd({ significance, reliability }) {
  if (significance) return significance.energy_ev ? significance : null;
  const [band] = [...(reliability?.bands || [])].sort((a, b) => Math.abs(b.height) - Math.abs(a.height));
  if (!band) return null;
  const sentence = `strongest CD ${signed(band.height)} at ${number(band.wavelength_nm)} nm`;
  return { energy_ev: band.energy_ev, height: band.height, sentence };
}

/** Computed spectra beside `reference`, each by its name; null if `isOver` says that another comparison has begun. */
export async function comparisons(reference, isOver) {
  const said = {};
  const network = isNetworkDrawn() && !session.isQuick ? session.prediction : null;
  for (const [name, result] of Object.entries({ network, engine: session.engine }).filter(([, each]) => each)) {
    const body = { a: { name: `${name}.json`, text: JSON.stringify(result) }, b: reference };
    const answer = await during("Comparing", () => post("compare", body));
    if (isOver()) return null;
    if (answer) said[name] = answer;
  }
  return said;
}
