// The engine's spectrum: a job of the server.  Where the network's is not to be trusted the job begins by itself, and its
// spectrum is the one that counts; elsewhere it is laid over the network's.

import { isAdvised, isNetworkDrawn, isOutside, mainResult, methodOf, widthKey } from "./answer.js";
import { events, get, post, remove } from "./api.js";
import { byId, fill, fixed, labelled, make, options } from "./dom.js";
import { askCharge } from "./holds.js";
import { during, showProblem } from "./notices.js";
import { change, emit, on, session, START, state } from "./store.js";
import { charged, currentKeys, isDistorted, settled } from "./structure.js";

const PAUSE_MS = 2000;
const MOST_MISSES = 30; // a server that is silent for a minute is gone
let following = null,
  progress = null,
  begun = null, // the job that this page began and nobody else has to do with
  asking = null, // what a job is being asked for
  sources = [];

/** Set it up. */
export async function startEngine() {
  on("structure", () => {
    stop();
    if (state.job) watch(state.job, true);
    write();
  });
  on("settled", () => {
    if (!state.job) {
      stop(); // of another geometry
      delete session.engine;
    }
    begin();
    write();
  });
  on("moved", () => {
    stop();
    if (!byId("engine-start")) write(); // what it said was of another geometry
  });
  on("released", begin);
  on("state", leave);
  on("linked", () => (begun = null)); // others may have the link
  sources = (await during("Starting", () => get("v1/orbitals"))) || [];
  write();
}

function stop() {
  following?.abort();
  following = progress = null;
}

/** Begin where the engine is advised and the server has no objection, once the sliders rest. */
function begin() {
  if (session.isHeld || session.isQuick) return;
  const { objection } = session.advice || {};
  if (isAdvised() && !objection && !chosen().slow && !state.job && !session.engine) start();
}

/** End a job whose structure is not shown any more, unless others follow it. */
function leave() {
  if (!begun || begun === state.job) return;
  const job = begun;
  stop();
  begun = null;
  remove(`v1/jobs/${job}?unless_followed=true`).catch(() => {}); // it may have ended
}

const chosen = () => sources.find(({ name }) => name === state.engine.orbitals) || { solvents: [] };

function write() {
  const box = byId("engine"),
    title = make("h2", {}, "The engine");
  if (session.engine) return fill(box, title, done());
  if (state.job) return fill(box, title, waiting());
  const button = make("button", { type: "button", id: "engine-start", onclick: start }, "Compute");
  fill(box, title, make("p", { class: "soft" }, offer()), question(), choices(), make("p", { class: "row" }, button));
}

/** What it does and costs. */
function offer() {
  const { cost } = session.advice || {};
  if (cost) return `Computes the same structure in ${cost}; with dft and cp2k in minutes to hours.`;
  return "Computes the same structure: seconds for 100 atoms, minutes for 500; with dft and cp2k minutes to hours.";
}

/** Why it has not begun by itself. */
function question() {
  const { objection } = session.advice || {};
  const why = objection || (chosen().slow ? `${state.engine.orbitals} takes long` : "");
  if (!isAdvised() || !why) return null;
  const note = make("p", { class: "note" }, `It has not begun by itself: ${why}.`);
  return [note, session.advice.charge_is_open ? askCharge() : null];
}

/** Which orbitals, and in which solvent. */
function choices() {
  const select = (name, pairs) => {
    const onchange = (event) => choose({ [name]: event.target.value });
    return make("select", { id: `engine-${name}`, onchange }, options(pairs, state.engine[name]));
  };
  const solvents = [["", "none"], ...chosen().solvents.map((name) => [name, name])];
  const names = sources.map(({ name, slow }) => [name, slow ? `${name} (slow)` : name]);
  return make(
    "div",
    { class: "choices" },
    labelled("Orbitals", select("orbitals", names)),
    chosen().solvents.length ? labelled("Solvent", select("solvent", solvents)) : null,
  );
}

function choose(values) {
  change({ engine: { ...state.engine, ...values } });
  if (!chosen().solvents.includes(state.engine.solvent)) change({ engine: { ...state.engine, solvent: "" } });
  write();
  emit("orbitals");
}

/** Does it compute as the network's labels were computed? */
export const isAsNetwork = () =>
  Object.entries(state.engine).every(([name, value]) => !value || value === START.engine[name]);

/** How it computes, as keys of the API. */
export const engineKeys = () => ({
  ...Object.fromEntries(Object.entries(state.engine).filter(([, value]) => value)),
  ...widthKey(),
});

function done() {
  const again = make("button", { type: "button", onclick: forget }, "With other orbitals");
  const known = mainResult()?.name === "engine" ? [] : session.engine.warnings; // else among the words of the spectrum
  const warnings = known.map((words) => make("p", { class: "note" }, words));
  return [
    make("p", { class: "soft" }, `${session.engine.method}${beside()}.`),
    ...warnings,
    make("p", { class: "row" }, again),
  ];
}

/** Where it stands beside the network. */
function beside() {
  if (isNetworkDrawn() && session.prediction) return `: drawn ${isAdvised() ? "with" : "over"} the network's spectrum${cosines()}`;
  return isOutside() || !session.prediction ? "" : `: in place of the network's spectrum${cosines()}`;
}

function forget() {
  change({ job: null });
  delete session.engine;
  write();
  emit("engine");
  emit("spectra");
}

function cosines() {
  const [absorption, cd] = ["epsilon", "delta_epsilon"].map((key) =>
    cosine(session.prediction?.spectrum, session.engine.spectrum, key),
  );
  return absorption === null
    ? ""
    : `; cosine with it ${fixed(absorption)} (absorption)${cd === null ? "" : `, ${fixed(cd)} (CD)`}`;
}

/** Both are on the same energies, as far as both go. */
function cosine(a, b, key) {
  if (!a) return null;
  const at = new Map(b.energy_ev.map((energy, k) => [energy.toFixed(3), b[key][k]]));
  let [ab, aa, bb] = [0, 0, 0];
  a.energy_ev.forEach((energy, k) => {
    const other = at.get(energy.toFixed(3));
    if (other === undefined) return;
    [ab, aa, bb] = [ab + a[key][k] * other, aa + a[key][k] ** 2, bb + other ** 2];
  });
  const size = Math.sqrt(aa * bb);
  return size > 1e-3 ? ab / size : null;
}

function waiting() {
  const words = { waiting: "Waits for its turn.", running: "Computing." }[progress?.state] || "Asking.";
  const parts = progress?.progress;
  const bar = make("progress", parts?.total ? { max: parts.total, value: parts.done || 0 } : {});
  const { reason, cost } = session.advice || {};
  return [
    reason ? make("p", {}, `Computes what the network cannot be trusted with (${reason}): ${cost}.`) : null,
    make("p", { class: "soft" }, words, " ", parts?.words || ""),
    bar,
    make("p", { class: "row" }, make("button", { type: "button", onclick: cancel }, "Cancel")),
  ];
}

async function start() {
  if (!(await settled())) return;
  const subject = subjectOf();
  if (asking === subject) return;
  asking = subject;
  try {
    const { id, new: isNew } = await post("label", { ...currentKeys(), ...charged(), ...engineKeys() });
    if (isNew) begun = id;
    if (subject === subjectOf()) {
      change({ job: id });
      watch(id);
    } else leave();
  } catch (error) {
    showProblem(error);
  }
  if (asking === subject) asking = null;
  write();
  emit("spectra");
}

/** What the state says of the structure and how it is computed. */
function subjectOf() {
  const { source, reading, charge, exchanges, distortions, index, seed, engine, fwhm } = state;
  return JSON.stringify([source, reading, charge, exchanges, distortions, index, seed, engine, fwhm]);
}

function cancel() {
  begun = state.job;
  change({ job: null });
  write();
  emit("spectra");
}

/** Follow a job to its end; `quietly`: a link names it, and it may be gone. */
async function watch(id, quietly = false) {
  const control = new AbortController();
  following = control;
  try {
    const job = await ended(id, control.signal);
    if (following !== control) return;
    if (begun === id) begun = null;
    if (job.state === "done") take(job.result);
    else throw job.problem || { problem: `the job is ${job.state}`, remedy: "ask for it again" };
  } catch (error) {
    if (following !== control) return;
    begun = null;
    change({ job: null });
    if (quietly) begin();
    else showProblem(error);
  }
  following = null;
  write();
  emit("engine");
  emit("spectra");
}

/** The job once it has ended.  Events that break off are taken up again after a pause, however long the job takes. */
async function ended(id, signal) {
  for (let misses = 0; ; ) {
    try {
      for await (const [, job] of events(id, signal)) {
        progress = job;
        write();
      }
    } catch (error) {
      if (!isPassing(error)) throw error;
    }
    try {
      const job = await get(`v1/jobs/${id}`);
      if (signal.aborted || !["waiting", "running"].includes(job.state)) return job;
      misses = 0;
    } catch (error) {
      misses += 1;
      if (!isPassing(error) || misses > MOST_MISSES) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** Does an error say nothing of the job: a broken connection, or a server with too much to do? */
const isPassing = ({ name, status }) => name !== "AbortError" && (!status || status === 503);

function take(result) {
  session.engine = result;
  if (!isDistorted()) session.rest = { ...session.rest, engine: { result, method: methodOf("engine") } };
}
