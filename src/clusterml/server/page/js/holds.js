// What the structure holds: metals, ligands, charge, hand, crystal; and the choices that the reader has there.

import { isNetworkDrawn } from "./answer.js";
import { byId, charge, counted, fill, formula, formulaParts, labelled, make, number, options } from "./dom.js";
import { say } from "./notices.js";
import { models } from "./source.js";
import { change, emit, on, session, state } from "./store.js";
import { rebuild, settleAnew } from "./structure.js";

const LEAST_MISFIT = 1e-3; // Å; below, it is rounding

/** Set the panel up. */
export function startHolds() {
  for (const name of ["structure", "settled"]) on(name, describe);
}

/** What the file holds. */
function describe() {
  const { inspect, first } = session;
  const shipped = models().find(({ name }) => name === inspect.name);
  const title = shipped?.title ?? inspect.name;
  fill(
    byId("title"),
    title.startsWith("[") ? formulaParts(title) : title,
    shipped?.hand ? `, hand ${shipped.hand}` : "",
  );
  fill(
    byId("composition"),
    formulaParts(inspect.formula),
    chargeMark(inspect),
    make("span", { class: "soft" }, counted(inspect.n_atoms, "atom")),
  );
  fill(
    byId("choices"),
    frameChoice(first),
    clusterChoice(first),
    disorderChoice(first),
    chargeChoice(inspect),
    ensembleChoice(),
  );
  fill(
    byId("holds"),
    rows(inspect, first).flatMap(([title, words]) => [make("dt", {}, title), make("dd", {}, words)]),
  );
  fill(
    byId("holds-notes"),
    inspect.warnings.map((words) => make("p", { class: "note" }, words)),
  );
}

const currentCharge = (inspect) => state.charge ?? session.prediction?.charge ?? inspect.charge;

function chargeMark(inspect) {
  const value = currentCharge(inspect);
  return value ? make("sup", {}, charge(value)) : null;
}

function rows(inspect, first) {
  const { anatomy, crystal } = inspect,
    source = first.crystal || crystal;
  const motifs = Object.entries(anatomy?.motifs || {})
    .map(([name, count]) => counted(count, name))
    .join(", ");
  const shells = anatomy ? [anatomy.kernel, ...anatomy.shells].filter(Boolean).map(formula).join(" in ") : null;
  return [
    ["Metals", [shells, motifs].filter(Boolean).join("; ")],
    ["Ligands", inspect.ligands.map(ligandWords).join(", ")],
    ["Charge", chargeWords(inspect)],
    ["Hand", handWords(inspect, first)],
    ["Crystal", source && crystalWords(source, first.clusters)],
    ["Disorder", source && disorderWords(source)],
    ["Also in the file", besideWords(first)],
  ].filter(([, words]) => words);
}

function chargeWords(inspect) {
  const { charge_reason: reason } = inspect,
    value = charge(currentCharge(inspect));
  if (state.charge !== null) return `${value}, chosen by you`;
  return reason.startsWith("charge ") ? reason : `${value}: ${reason}`;
}

const ligandWords = ({ name, formula: sum, count, hand }) =>
  `${count} ${name || formula(sum)}${hand ? ` (${hand})` : ""}`;

function handWords(inspect, first) {
  const cluster = first.clusters.find(({ taken }) => taken) || {};
  const parts = [];
  if (inspect.fan_hand) parts.push(`the fan of ligands has hand ${inspect.fan_hand}`);
  if (isOfFrame(cluster))
    parts.push(`the frame of cluster ${cluster.number} (metals and donor atoms) is achiral, whatever its ligands are`);
  else if (cluster.hand) parts.push(`cluster ${cluster.number} is ${ofHand(cluster.hand)}`);
  if (cluster.mirror_misfit_angstrom > LEAST_MISFIT)
    parts.push(`${number(cluster.mirror_misfit_angstrom, 2)} Å from its mirror image`);
  return parts.join(", ");
}

/** Achiral as far as its frame goes: no symmetry of the crystal says so of its ligands. */
const isOfFrame = ({ hand, hand_basis: basis }) => hand === "achiral" && basis === "frame";

const ofHand = (hand) => (hand === "achiral" ? hand : `hand ${hand}`);

function crystalWords(crystal, clusters) {
  if (crystal.handedness === "achiral")
    return `${crystal.space_group}, ${clusters.some(isOfFrame) ? "achiral frames" : "achiral clusters"}`;
  const hands = Object.entries(crystal.hands || {})
    .map(([hand, count]) => `${count} ${ofHand(hand)}`)
    .join(", ");
  return `${crystal.space_group}, ${crystal.handedness}${hands ? ` (${hands})` : ""}`;
}

function disorderWords({ disorder, mixed_sites: mixed }) {
  const dropped = disorder.dropped.length;
  if (!dropped && !mixed.length) return "none";
  const parts = [dropped && `${counted(dropped, "part")} left out`, mixed.length && counted(mixed.length, "mixed site")];
  return `${parts.filter(Boolean).join(", ")} (choice: ${disorder.choice})`;
}

function besideWords({ counter_ions: ions, solvent, hydrogens_added: hydrogens }) {
  const list = (counts) => Object.entries(counts || {}).map(([name, count]) => `${count} ${name}`);
  const added = Object.values(hydrogens || {}).reduce((sum, count) => sum + (Number(count) || 0), 0);
  return [...list(ions), ...list(solvent), ...(added ? [`${counted(added, "hydrogen")} added`] : [])].join(", ");
}

function choice(words, pairs, value, changed) {
  return labelled(words, make("select", { onchange: (event) => changed(event.target.value) }, options(pairs, value)));
}

function clusterChoice({ clusters }) {
  if (clusters.length < 2) return null;
  const words = ({ number: k, formula: sum, hand }) => [k, `${k}: ${formula(sum)}${hand ? `, ${ofHand(hand)}` : ""}`];
  return choice("Cluster", clusters.map(words), state.reading.cluster ?? 1, (value) =>
    reread({ cluster: Number(value) }),
  );
}

function frameChoice({ warnings }) {
  if (!state.reading.frame && !warnings.some((words) => words.includes("holds several structures"))) return null;
  const input = make("input", {
    type: "number",
    min: 1,
    step: 1,
    value: state.reading.frame ?? 1,
    onchange: (event) => reread({ frame: Number(event.target.value) }),
  });
  return labelled("Structure of the file", input);
}

function disorderChoice({ crystal }) {
  if (!crystal || !(crystal.disorder.dropped.length || crystal.mixed_sites.length)) return null;
  const pairs = [
    ["major", "the most occupied part"],
    ["A", "the first part"],
    ["B", "the second part"],
  ];
  return choice("Disorder", pairs, state.reading.disorder ?? "major", (value) => reread({ disorder: value }));
}

/** Read the file in another way; where that does not work, as before. */
async function reread(values) {
  const reading = { ...state.reading, ...values };
  const done = await rebuild({ reading, charge: null, exchanges: [], distortions: {}, job: null });
  if (done === null) describe();
}

const candidateWords = ({ charge: value, superatom_electrons: electrons }) =>
  `${Math.abs(value) === 1 ? 1 : ""}${charge(value)}: ${counted(electrons, "superatom electron")}`;

/** Buttons for the charges that the structure may have, but for the one that it is given now. */
export function askCharge() {
  const { charge_candidates: candidates = [] } = session.inspect;
  const others = candidates.filter(({ charge: value }) => value !== currentCharge(session.inspect));
  if (!others.length) return null;
  const buttons = others.map((each) =>
    make("button", { type: "button", onclick: () => chooseCharge(each.charge) }, candidateWords(each)),
  );
  return make("p", { class: "row" }, "Compute it with another charge:", buttons);
}

function chooseCharge(value) {
  change({ charge: value === session.inspect.charge ? null : value, job: null });
  settleAnew();
}

function chargeChoice({ charge_candidates: candidates = [], charge: own }) {
  const pairs = candidates.map((each) => [each.charge, candidateWords(each)]);
  if (own !== null && !candidates.some(({ charge: value }) => value === own)) pairs.unshift([own, charge(own)]);
  if (!pairs.length) return null;
  return choice("Charge", pairs, state.charge ?? own, (value) => chooseCharge(Number(value)));
}

function ensembleChoice() {
  const pairs = [
    ["", "as it stands"],
    [8, "mean of 8 snapshots at 300 K"],
    [16, "mean of 16"],
    [32, "mean of 32"],
  ];
  return choice("Thermal motion", pairs, state.ensemble ?? "", (value) => {
    change({ ensemble: value ? Number(value) : null });
    emit("ensemble");
    if (value && isNetworkDrawn()) say("The thermal mean is drawn over the spectrum of the geometry.");
    else if (value) say("The thermal mean is the network's: it is drawn with the curve of the network (Show).");
  });
}
