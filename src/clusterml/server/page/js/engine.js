// The engine's spectrum: a job of the server, laid over the network's when it is done.

import { events, get, post, remove } from "./api.js";
import { byId, fill, fixed, labelled, make, options } from "./dom.js";
import { during, showProblem } from "./notices.js";
import { change, emit, on, session, START, state } from "./store.js";
import { charged, currentKeys, settled } from "./structure.js";

let following = null,
  progress = null,
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
    write();
  });
  sources = (await during("Starting", () => get("v1/orbitals"))) || [];
  write();
}

function stop() {
  following?.abort();
  following = progress = null;
}

function write() {
  const box = byId("engine"),
    title = make("h2", {}, "The engine");
  if (session.engine) return fill(box, title, done());
  if (state.job) return fill(box, title, waiting());
  const words =
    "Computes the same structure: seconds for 100 atoms, minutes for 500; with dft and cp2k minutes to hours.";
  const button = make("button", { type: "button", id: "engine-start", onclick: start }, "Compute");
  fill(box, title, make("p", { class: "soft" }, words), choices(), make("p", { class: "row" }, button));
}

/** Which orbitals, and in which solvent. */
function choices() {
  const chosen = sources.find(({ name }) => name === state.engine.orbitals) || { solvents: [] };
  const select = (name, pairs) => {
    const onchange = (event) => choose({ [name]: event.target.value });
    return make("select", { id: `engine-${name}`, onchange }, options(pairs, state.engine[name]));
  };
  const solvents = [["", "none"], ...chosen.solvents.map((name) => [name, name])];
  const names = sources.map(({ name, slow }) => [name, slow ? `${name} (slow)` : name]);
  return make(
    "div",
    { class: "choices" },
    labelled("Orbitals", select("orbitals", names)),
    chosen.solvents.length ? labelled("Solvent", select("solvent", solvents)) : null,
  );
}

function choose(values) {
  change({ engine: { ...state.engine, ...values } });
  const known = sources.find(({ name }) => name === state.engine.orbitals)?.solvents || [];
  if (!known.includes(state.engine.solvent)) change({ engine: { ...state.engine, solvent: "" } });
  write();
}

/** What differs from the default, as keys of the API. */
export const engineKeys = () =>
  Object.fromEntries(Object.entries(state.engine).filter(([name, value]) => value && value !== START.engine[name]));

function done() {
  const again = make("button", { type: "button", onclick: forget }, "With other orbitals");
  const warnings = session.engine.warnings.map((words) => make("p", { class: "note" }, words));
  return [
    make("p", { class: "soft" }, `${session.engine.method}: drawn over the network's spectrum${cosines()}.`),
    ...warnings,
    make("p", { class: "row" }, again),
  ];
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
  return [
    make("p", { class: "soft" }, words, " ", parts?.words || ""),
    bar,
    make("p", { class: "row" }, make("button", { type: "button", onclick: cancel }, "Cancel")),
  ];
}

async function start() {
  await settled();
  try {
    const { id } = await post("label", { ...currentKeys(), ...charged(), ...engineKeys() });
    change({ job: id });
    watch(id);
  } catch (error) {
    showProblem(error);
  }
  write();
}

async function cancel() {
  const id = state.job;
  stop();
  change({ job: null });
  write();
  await remove(`v1/jobs/${id}`).catch(() => {});
}

/** Follow a job to its end; `quietly`: a link names it, and it may be gone. */
async function watch(id, quietly = false) {
  const control = new AbortController();
  following = control;
  try {
    for await (const [, job] of events(id, control.signal)) {
      progress = job;
      write();
    }
    const job = await get(`v1/jobs/${id}`);
    if (following !== control) return;
    if (job.state === "done") session.engine = job.result;
    else throw job.problem || { problem: `the job is ${job.state}`, remedy: "ask for it again" };
  } catch (error) {
    if (following !== control) return;
    change({ job: null });
    if (!quietly) showProblem(error);
  }
  following = null;
  write();
  emit("engine");
  emit("spectra");
}
