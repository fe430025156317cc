// From the source to what is shown: read, exchange ligands, distort, predict.  The first two take a moment and are done anew
// when the source or an exchange changes; distortions follow a slider.

import { post } from "./api.js";
import { afterwards } from "./dom.js";
import { clearProblem, during, showProblem } from "./notices.js";
import { change, emit, session, START, state } from "./store.js";

const SETTLE_MS = 250;
/** What was computed for a geometry, and holds for no other one. */
const OF_GEOMETRY = ["thermal", "shares", "unshared", "chirality"];
let turn = 0; // answers of an earlier turn come too late

/** What stays when another structure is shown. */
const KEPT = ["axis", "show", "tab", "colour", "hands", "engine", "measured", "bands"];

/** Show another structure; `values`: what else of the state is given with it. */
export async function open(source, values = {}) {
  const before = structuredClone(state);
  const kept = Object.fromEntries(KEPT.map((name) => [name, before[name]]));
  Object.assign(state, structuredClone(START), kept, values, { source });
  if ((await rebuild()) !== null) return true;
  change(session.geometry ? before : structuredClone(START)); // what is shown stays
  return false;
}

/** Read the source again and exchange ligands: true; false where another call overtook; null where it does not work. */
export async function rebuild() {
  const mine = (turn += 1);
  clearProblem();
  const done = await during("Reading the structure", async () => {
    const base = { ...state.source, ...state.reading };
    const isSame = JSON.stringify(base) === JSON.stringify(session.base);
    const first = isSame ? session.first : await post("inspect", base);
    if (mine !== turn) return false;
    const working = state.exchanges.length ? await exchanged(base) : base;
    const inspected = working === base ? first : await post("inspect", working);
    if (mine !== turn) return false;
    Object.assign(session, { base, first, working, inspect: inspected, geometry: { ...inspected.geometry } });
    forget("parent", "prediction", "advice", "rest", "engine", "problem", ...OF_GEOMETRY);
    return true;
  });
  if (done) {
    change({});
    emit("source");
    emit("structure");
    await settle();
  }
  return done;
}

const forget = (...names) => names.forEach((name) => delete session[name]);

async function exchanged(base) {
  let keys = base;
  for (const { old, new: replacement, sites } of state.exchanges) {
    const { geometry } = await post("substitute", { ...keys, old, new: replacement, sites });
    keys = { file: { name: `${geometry.name}.xyz`, text: geometry.xyz } };
  }
  return keys;
}

/** The charge that the reader chose, as a key. */
export const charged = () => (state.charge === null ? {} : { charge: state.charge });

/** The structure that is shown, as keys of the API. */
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
    distortions: wanted,
    ...(wanted.length ? { warn_only: true } : {}),
    ...(modes.includes("normal-mode") ? { index: state.index } : {}),
    ...(modes.includes("thermal-noise") ? { seed: state.seed } : {}),
  };
}

/** The whole prediction, with uncertainty, for what is shown. */
export async function settle() {
  const mine = turn,
    before = asked;
  if (session.problem) clearProblem();
  forget("problem");
  const answer = await during("Predicting", () => predicted().catch((error) => withoutPrediction(error)));
  if (before !== asked) return; // a slider moves again, and will rest again
  for (const resolve of resting.splice(0)) resolve();
  if (!answer || mine !== turn) return;
  session.parent = answer.parent;
  session.modes = answer.modes;
  session.warnings = answer.warnings;
  session.prediction = answer.prediction ?? null;
  session.problem ??= answer.problem; // that the engine may mend
  session.advice = answer.engine;
  session.isQuick = false;
  if (!isDistorted()) session.rest = { network: session.prediction };
  Object.assign(session.geometry, answer.geometry);
  forget(...OF_GEOMETRY);
  emit("modes");
  emit("geometry");
  emit("settled");
  emit("spectra");
}

const resting = [];

/** Waits until the whole prediction for what is shown is there. */
export function settled() {
  return running || session.isQuick ? new Promise((resolve) => resting.push(resolve)) : Promise.resolve();
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
async function withoutPrediction(error) {
  session.problem = error;
  showProblem(error);
  return post("distort", geometryKeys());
}

function geometryKeys() {
  const { charge, ...keys } = distortKeys();
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
  forget("engine", ...OF_GEOMETRY);
  emit("moved");
  wanted = true;
  if (running < LANES) run();
}

const settleSoon = afterwards(() => (running ? settleSoon() : settle()), SETTLE_MS);

async function run() {
  const mine = turn;
  running += 1;
  while (wanted && mine === turn) {
    wanted = false;
    const number = (asked += 1);
    try {
      const keys = session.problem ? geometryKeys() : { ...distortKeys(), quick: true };
      const answer = await post("distort", keys);
      if (mine === turn && number > applied) apply(answer);
      applied = Math.max(applied, number);
    } catch (error) {
      if (error.status === 410) {
        forget("parent");
        wanted = true;
      } else {
        showProblem(error);
      }
    }
  }
  running -= 1;
  if (!running && mine === turn) settleSoon();
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
