// From the source to what is shown: read, exchange ligands, distort, predict.  The first two take a moment and are done anew
// when the source or an exchange changes; distortions follow a slider.

import { methodOf, widthKey } from "./answer.js";
import { post } from "./api.js";
import { afterwards } from "./dom.js";
import { clearProblem, during, showProblem } from "./notices.js";
import { change, emit, session, START, state } from "./store.js";

const SETTLE_MS = 250;
/** What was computed for a geometry, and holds for no other one. */
const OF_GEOMETRY = ["thermal", "shares", "unshared", "chirality"];
let turn = 0; // the newest reading; answers of an earlier one come too late

/** What stays when another structure is shown. */
const KEPT = ["axis", "show", "tab", "colour", "hands", "engine", "measured", "bands"];

/** Show another structure; `values`: what else of the state is given with it. */
export function open(source, values = {}) {
  const fresh = Object.fromEntries(Object.entries(structuredClone(START)).filter(([name]) => !KEPT.includes(name)));
  return rebuild({ ...fresh, ...values, source });
}

/**
 * Show what the state says with `values`: read the source and exchange ligands.  The state changes when that is done, and
 * what is shown stays until then.  True; false where another call overtook; null where it does not work.
 */
export async function rebuild(values) {
  const mine = (turn += 1),
    { source, reading, exchanges } = { ...state, ...values };
  clearProblem();
  const read = async () => {
    const base = { ...source, ...reading };
    const first = isAlike(base, session.base) ? session.first : await post("inspect", base);
    if (mine !== turn) return false;
    const working = exchanges.length ? await exchanged(base, exchanges) : base;
    const inspected = working === base ? first : await post("inspect", working);
    return mine === turn && { base, first, working, inspect: inspected, geometry: { ...inspected.geometry } };
  };
  const found = await during("Reading the structure", () =>
    read().catch((error) => {
      if (mine !== turn) return false;
      throw error;
    }),
  );
  if (!found) return found;
  Object.assign(session, found);
  forget("awaited", "parent", "prediction", "advice", "rest", "engine", "problem", ...OF_GEOMETRY);
  isSettled = false;
  leaveFrames();
  change(values);
  emit("source");
  emit("structure");
  await settle();
  return true;
}

const isAlike = (one, other) => JSON.stringify(one) === JSON.stringify(other);

const forget = (...names) => names.forEach((name) => delete session[name]);

async function exchanged(base, exchanges) {
  let keys = base;
  for (const { old, new: replacement, sites } of exchanges) {
    const { geometry } = await post("substitute", { ...keys, old, new: replacement, sites });
    keys = { file: { name: `${geometry.name}.xyz`, text: geometry.xyz } };
  }
  return keys;
}

/** The charge that the reader chose, as a key. */
export const charged = () => (state.charge === null ? {} : { charge: state.charge });

/** The structure that is shown, as keys of the API; of a distorted one once it is settled. */
export function currentKeys() {
  if (!isDistorted()) return session.working;
  return { file: { name: `${session.geometry.name}.xyz`, text: session.geometry.xyz } };
}

/** Is any slider away from its middle? */
export const isDistorted = () => distortions().length > 0;

const distortions = () =>
  Object.entries(state.distortions)
    .filter(([, amount]) => amount !== 0)
    .map(([mode, amount]) => ({ mode, amount }));

/** Keys of /v1/distort for what the sliders say. */
function distortKeys() {
  const wanted = distortions(),
    modes = wanted.map(({ mode }) => mode);
  return {
    ...(session.parent ? { parent: session.parent } : session.working),
    ...charged(),
    ...widthKey(),
    distortions: wanted,
    ...(wanted.length ? { warn_only: true } : {}),
    ...(modes.includes("normal-mode") ? { index: state.index } : {}),
    ...(modes.includes("thermal-noise") ? { seed: state.seed } : {}),
  };
}

/** The whole prediction, with uncertainty, for what is shown; of several the newest counts. */
async function settle() {
  const mine = (settles += 1),
    before = asked,
    rest = isDistorted() ? null : methodOf("network");
  const isOver = () => mine !== settles || before !== asked; // another one is on its way, or comes when the slider rests
  hasFailed = false;
  if (session.problem) clearProblem();
  forget("problem");
  const asking = predicted().catch(withoutPrediction);
  const answer = await during("Predicting", () => asking.catch((error) => (isOver() ? null : Promise.reject(error))));
  if (isOver()) return;
  session.isQuick = false;
  isSettled = Boolean(answer);
  hasFailed = !answer;
  if (answer) take(answer, rest);
  else forget("prediction", "advice");
  for (const resolve of resting.splice(0)) resolve(isSettled);
  if (answer) ["modes", "geometry", "settled"].forEach((name) => emit(name));
  emit("spectra");
}

/** What the server says of what is shown; `rest`: how it was computed, where nothing is distorted. */
function take(answer, rest) {
  session.parent = answer.parent;
  session.modes = answer.modes;
  session.warnings = answer.warnings;
  session.prediction = answer.prediction ?? null;
  session.problem = answer.refused ?? answer.problem; // that the engine may mend
  session.advice = answer.engine;
  if (answer.refused) showProblem(answer.refused);
  if (rest) session.rest = { ...session.rest, network: { result: session.prediction, method: rest } };
  Object.assign(session.geometry, answer.geometry);
  forget(...OF_GEOMETRY);
}

let settles = 0, // the newest one
  isSettled = true, // is what the server said of what the state says?
  hasFailed = false; // has the newest one found out nothing?
const resting = [];

/** Waits until the whole prediction for what is shown is there; false where the server does not give it. */
export async function settled() {
  if (isSettled) return true;
  const end = new Promise((resolve) => resting.push(resolve));
  if (hasFailed) settle(); // the server may answer again
  return end;
}

/** Settle for another charge, or for amounts that no slider has led to. */
export function settleAnew() {
  leaveGeometry();
  leaveFrames();
  return settle();
}

/** What is known holds for another geometry or charge. */
function leaveGeometry() {
  isSettled = false;
  forget("engine", ...OF_GEOMETRY);
  emit("moved");
}

async function predicted() {
  try {
    return await post("distort", { ...distortKeys(), advise: true });
  } catch (error) {
    if (error.status !== 410) throw error;
    forget("parent"); // the server has it no more, so send it again
    return post("distort", { ...distortKeys(), advise: true });
  }
}

/** The geometry alone, where there is something wrong with the structure. */
const withoutPrediction = async (refused) => ({ ...(await post("distort", geometryKeys())), refused });

function geometryKeys() {
  const { charge, fwhm, ...keys } = distortKeys();
  return { ...keys, predict: false };
}

/** Requests on their way at a time: the server computes one frame while the page draws another. */
const LANES = 2;
let running = 0,
  wanted = false,
  asked = 0,
  applied = 0;
const frames = [];

/** Follow the sliders: always for the newest amounts, and never back to older ones. */
export function follow() {
  leaveGeometry();
  wanted = true;
  if (running < LANES) run();
}

/** What sliders have asked for is not wanted any more. */
function leaveFrames() {
  wanted = false;
  applied = asked;
}

const settleSoon = afterwards(() => (running ? settleSoon() : isSettled || settle()), SETTLE_MS);

async function run() {
  running += 1;
  while (wanted) {
    wanted = false;
    const number = (asked += 1);
    try {
      const keys = session.problem ? geometryKeys() : { ...distortKeys(), quick: true };
      const answer = await post("distort", keys);
      if (number > applied) apply(answer);
      applied = Math.max(applied, number);
    } catch (error) {
      if (number <= applied) continue;
      if (error.status === 410) {
        forget("parent");
        wanted = true;
      } else {
        showProblem(error);
      }
    }
  }
  running -= 1;
  if (!running && !isSettled) settleSoon();
}

function apply(answer) {
  session.parent = answer.parent;
  session.warnings = answer.warnings;
  session.geometry.positions = answer.geometry.positions;
  session.prediction = answer.prediction ?? null;
  session.isQuick = true;
  const now = performance.now();
  frames.push(now);
  while (frames[0] < now - 2000) frames.shift();
  session.framesPerSecond = frames.length > 3 ? (1000 * (frames.length - 1)) / (now - frames[0]) : null;
  emit("geometry");
  emit("spectra");
}
