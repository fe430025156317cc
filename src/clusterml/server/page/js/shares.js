// Which atoms the CD of a band comes from: the engine's shares of what is shown; where it has none, the network's if wanted.

import { mainResult, modelKey, strongestCd } from "./answer.js";
import { post } from "./api.js";
import { make, number, onPage } from "./dom.js";
import { engineKeys } from "./engine.js";
import { during, ended } from "./notices.js";
import { change, emit, on, session, state } from "./store.js";
import { charged, currentKeys, settled } from "./structure.js";

let turn = 0, // an answer of an earlier turn is of another geometry, band or method
  asking = false;

/** Set it up. */
export function startShares() {
  for (const name of ["source", "moved"]) on(name, () => (turn += 1));
  on("settled", renew);
  on("orbitals", () => isEngines() && renew());
  for (const name of ["colour", "released"]) on(name, ask);
}

/** The band in eV: the reader's, else that of the shares that are shown, else 0.3 eV to both sides of the strongest CD. */
export function band() {
  if (state.band || session.shares) return state.band ?? session.shares.band_ev;
  const { result } = mainResult() ?? {};
  const strongest = (result && strongestCd(result)?.energy_ev) ?? 3;
  const middle = Math.min(Math.max(strongest, 0.8), 5.7); // the engine computes up to 6 eV
  return [middle - 0.3, middle + 0.3].map((value) => Number(value.toFixed(2)));
}

/** Share out the CD of a band that the reader chose, in eV. */
export function shareOut(chosen) {
  change({ band: chosen, colour: "share" });
  renew();
}

const isEngines = () => state.sharesBy === "engine";

function renew() {
  turn += 1;
  for (const name of ["shares", "unshared"]) delete session[name];
  ask();
}

/** Are there no shares of what is shown, and does it stand still? */
const isMissing = () =>
  Boolean(state.colour === "share" && session.parent && !session.shares && !session.unshared && !isMoving());

const isMoving = () => session.isQuick || session.isHeld;

/** One request at a time: what has changed meanwhile is asked for when its answer is there. */
async function ask() {
  if (asking) return;
  asking = true;
  while (isMissing()) {
    emit("shares"); // it is at work
    if (!(await settled())) break;
    const mine = turn,
      keys = isEngines() ? engineKeys() : modelKey();
    const found = await during("Sharing the CD out", () => shares(keys).catch((error) => ({ unshared: error })));
    if (mine === turn) Object.assign(session, found);
  }
  asking = false;
  emit("shares");
}

/** The shares, with how they were computed: `keys` of the API, and the `method` in words. */
async function shares(keys) {
  const [low, high] = band();
  const answer = await post("explain", { ...currentKeys(), ...charged(), ...keys, band: `${low}..${high}` });
  return { shares: { ...answer.contributions, keys, method: answer.method } };
}

/** Whose shares are shown, or why there are none; and whose one may have in their place. */
export function sharesWords() {
  if (session.shares) return isEngines() ? engines() : [networks(), choice("engine", "Shares by the engine")];
  if (session.unshared) return refused(session.unshared);
  if (state.colour !== "share") return null;
  const words = isMoving()
    ? "The shares follow when the slider rests."
    : `Computing the shares of the CD, by the ${state.sharesBy} ..`;
  return make("p", { class: "soft" }, words);
}

/** Which CD, and whose. */
function engines() {
  const [low, high] = session.shares.band_ev.map((energy) => number(energy));
  return make("p", { class: "soft" }, `Shares of the CD from ${low} to ${high} eV, by the engine: ${session.shares.method}.`);
}

function networks() {
  const words = `By the network ${session.shares.method}: it was trained on the CD only; its attribution to atoms is often wrong.`;
  return make("p", { class: "note" }, words);
}

function refused({ problem, remedy }) {
  const advice = onPage(remedy);
  const words = `The ${state.sharesBy} has no shares here: ${ended(problem)} ${advice ? ended(advice[0].toUpperCase() + advice.slice(1)) : ""}`;
  const other = isEngines() ? "network" : "engine";
  const can = other === "engine" || session.prediction;
  return [make("p", { class: "note" }, words), can && choice(other, `Shares by the ${other}`)];
}

function choice(by, words) {
  const take = () => {
    change({ sharesBy: by });
    renew();
  };
  return make("p", { class: "row" }, make("button", { type: "button", onclick: take }, words));
}
