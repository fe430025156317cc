// Where the structure comes from: a dropped file, a model that travels with the program, or one that is built; and what it holds.

import { get } from "./api.js";
import { byId, charge, counted, fill, formula, formulaParts, labelled, make, number, options } from "./dom.js";
import { during, say } from "./notices.js";
import { change, emit, on, session, state } from "./store.js";
import { open, rebuild, settle } from "./structure.js";

const HALOGENS = ["F", "Cl", "Br", "I", "H"];
const only = (elements, ...allowed) => elements.length > 0 && elements.every((element) => allowed.includes(element));
/** Which ligands suit a kind of site. */
const SITES = {
  thiolate: ({ donor_elements: donors, charge: own }) => only(donors, "S") && donors.length === 1 && own === 1,
  dithiolate: ({ donor_elements: donors }) => only(donors, "S") && donors.length > 1,
  phosphine: ({ donor_elements: donors }) => only(donors, "P"),
  carboxylate: ({ donor_elements: donors, charge: own }) => only(donors, "O") && own === 1,
  halide: ({ donor_elements: donors, charge: own }) => only(donors, ...HALOGENS) && own === 1,
  solvent: ({ donor_elements: donors, charge: own }) => only(donors, "O") && own === 0,
};
const EXAMPLES = [
  ["ag70_td_cl4", "Achiral. Turn its trigons and see a CD appear"], ["ag29_sh_ph3_R", "Chiral by the fans of its ligands"],
  ["ag25_sch3", "A superatom with eight electrons"], ["ag70_td_sipr_tfa20", "Twenty CF3COO to exchange for chiral ones"],
];
let lists = {};

/** Set the card up. */
export async function startSource() {
  listenToFiles();
  byId("other").addEventListener("click", () => openStart(true));
  byId("start-close").addEventListener("click", () => openStart(false));
  byId("shipped").addEventListener("change", (event) => event.target.value && pick({ shipped: event.target.value }));
  byId("blueprint").addEventListener("change", showSites);
  byId("build").addEventListener("submit", build);
  on("source", () => openStart(false));
  on("structure", describe);
  on("settled", describe);
  const [structures, blueprints, ligands] = await during("Starting", () =>
    Promise.all(["structures", "blueprints", "ligands"].map((name) => get(`v1/${name}`)))) || [[], [], []];
  lists = { structures, blueprints, ligands };
  fill(byId("shipped"), options([["", "Choose .."]]), groups(structures));
  fill(byId("blueprint"), options(blueprints.map(({ name, title }) => [name, title])));
  fill(byId("examples"), EXAMPLES.filter(([name]) => structures.some((each) => each.name === name)).map(example));
  showSites();
}

/** The ligands of the library. */
export const ligands = () => lists.ligands || [];

function example([name, words]) {
  return make("button", { type: "button", class: "example", onclick: () => pick({ shipped: name }) },
    make("b", {}, formulaParts(name.split("_")[0].replace("ag", "Ag"))), make("span", {}, words));
}

function groups(structures) {
  const families = new Map();
  for (const each of structures) {
    const family = each.name.split("_")[0].replace("ag", "Ag");
    families.set(family, [...(families.get(family) || []), [each.name, `${each.title}${each.hand ? `, hand ${each.hand}` : ""}`]]);
  }
  return [...families].map(([label, pairs]) => make("optgroup", { label }, options(pairs)));
}

function showSites() {
  const plan = (lists.blueprints || []).find(({ name }) => name === byId("blueprint").value);
  if (!plan) return;
  const sites = Object.keys(SITES).filter((site) => plan.sites.includes(site));
  const suiting = (site) => lists.ligands.filter((each) => each.kind !== "counter-ion" && SITES[site](each)).map(({ name }) => [name, name]);
  const select = (name, pairs) => labelled(name[0].toUpperCase() + name.slice(1), make("select", { name }, options(pairs)));
  fill(byId("build-sites"), sites.map((site) => select(site, [["", site === "solvent" ? "none" : "as in the blueprint"], ...suiting(site)])),
    plan.hands.length ? select("hand", plan.hands.map((hand) => [hand, hand])) : []);
}

function build(event) {
  event.preventDefault();
  const values = [...new FormData(event.target)].filter(([, value]) => value);
  pick({ build: Object.fromEntries(values) });
}

async function pick(source) {
  if (!(await open(source))) openStart(!session.geometry);
}

/** Show or hide the choice of a structure. */
export function openStart(wanted) {
  byId("start").hidden = !wanted;
  byId("desk").hidden = wanted && !session.geometry;
  byId("start-close").hidden = !session.geometry;
  if (wanted) byId("start").scrollIntoView({ block: "nearest" });
}

function listenToFiles() {
  const page = document.documentElement;
  byId("file").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) await take(file);
    event.target.value = "";
  });
  page.addEventListener("dragover", (event) => {
    event.preventDefault();
    page.classList.add("dropping");
  });
  page.addEventListener("dragleave", (event) => event.relatedTarget || page.classList.remove("dropping"));
  page.addEventListener("drop", async (event) => {
    event.preventDefault();
    page.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (file) emit(event.target.closest?.("#measured-drop") ? "measured-file" : "structure-file", file);
  });
  on("structure-file", take);
}

async function take(file) {
  const text = await file.text(), wanted = state.source?.file;
  const source = { file: { name: file.name, text } };
  if (wanted && wanted.text === null && wanted.name === file.name) {
    change({ source });
    emit("source");
    return rebuild(); // the file that a link could not hold
  }
  return pick(source);
}

/** What the file holds. */
function describe() {
  const { inspect, first } = session;
  const shipped = lists.structures.find(({ name }) => name === inspect.name);
  fill(byId("title"), shipped ? formulaParts(shipped.title) : inspect.name, shipped?.hand ? `, hand ${shipped.hand}` : "");
  fill(byId("composition"), formulaParts(inspect.formula), chargeMark(inspect), make("span", { class: "soft" }, counted(inspect.n_atoms, "atom")));
  fill(byId("choices"), clusterChoice(first), disorderChoice(first), chargeChoice(inspect), ensembleChoice());
  fill(byId("holds"), rows(inspect, first).flatMap(([title, words]) => [make("dt", {}, title), make("dd", {}, words)]));
  fill(byId("holds-notes"), inspect.warnings.map((words) => make("p", { class: "note" }, words)));
}

const currentCharge = (inspect) => state.charge ?? session.prediction?.charge ?? inspect.charge;

function chargeMark(inspect) {
  const value = currentCharge(inspect);
  return value ? make("sup", {}, charge(value)) : null;
}

function rows(inspect, first) {
  const { anatomy, crystal } = inspect, source = first.crystal || crystal;
  const motifs = Object.entries(anatomy?.motifs || {}).map(([name, count]) => counted(count, name)).join(", ");
  const shells = anatomy ? [anatomy.kernel, ...anatomy.shells].map(formula).join(" in ") : null;
  return [
    ["Metals", [shells, motifs].filter(Boolean).join("; ")],
    ["Ligands", inspect.ligands.map(ligandWords).join(", ")],
    ["Charge", `${charge(currentCharge(inspect))}: ${state.charge === null ? inspect.charge_reason : "chosen by you"}`],
    ["Hand", handWords(inspect, first)],
    ["Crystal", source && crystalWords(source)],
    ["Disorder", source && disorderWords(source)],
    ["Beside it", besideWords(first)],
  ].filter(([, words]) => words);
}

const ligandWords = ({ name, formula: sum, count, hand }) => `${count} ${name || formula(sum)}${hand ? ` (${hand})` : ""}`;

function handWords(inspect, first) {
  const cluster = first.clusters.find(({ taken }) => taken) || {};
  const parts = [];
  if (inspect.fan_hand) parts.push(`the fan of ligands has hand ${inspect.fan_hand}`);
  if (cluster.hand) parts.push(`cluster ${cluster.number} is hand ${cluster.hand}`);
  if (cluster.mirror_misfit_angstrom) parts.push(`${number(cluster.mirror_misfit_angstrom, 2)} Å from its mirror image`);
  return parts.join(", ");
}

function crystalWords(crystal) {
  const hands = Object.entries(crystal.hands || {}).map(([hand, count]) => `${count} of hand ${hand}`).join(", ");
  return `${crystal.space_group}, ${crystal.handedness}${hands ? ` (${hands})` : ""}`;
}

function disorderWords({ disorder, mixed_sites: mixed }) {
  const dropped = disorder.dropped.length;
  if (!dropped && !mixed.length) return "none";
  return `${counted(dropped, "part")} left out (choice: ${disorder.choice})${mixed.length ? `, ${counted(mixed.length, "mixed site")}` : ""}`;
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
  const words = ({ number: k, formula: sum, hand }) => [k, `${k}: ${formula(sum)}${hand ? `, hand ${hand}` : ""}`];
  return choice("Cluster", clusters.map(words), state.reading.cluster ?? 1, (value) => reread({ cluster: Number(value) }));
}

function disorderChoice({ crystal }) {
  if (!crystal || !(crystal.disorder.dropped.length || crystal.mixed_sites.length)) return null;
  const pairs = [["major", "the most occupied part"], ["A", "the first part"], ["B", "the second part"]];
  return choice("Disorder", pairs, state.reading.disorder ?? "major", (value) => reread({ disorder: value }));
}

function reread(values) {
  change({ reading: { ...state.reading, ...values }, charge: null, exchanges: [], distortions: {} });
  return rebuild();
}

function chargeChoice({ charge_candidates: candidates = [], charge: own }) {
  const pairs = candidates.map(({ charge: value, superatom_electrons: electrons }) =>
    [value, `${charge(value)} (${counted(electrons, "electron")} in the superatom)`]);
  if (own !== null && !candidates.some(({ charge: value }) => value === own)) pairs.unshift([own, charge(own)]);
  if (!pairs.length) return null;
  return choice("Charge", pairs, state.charge ?? own, (value) => {
    change({ charge: Number(value) === own ? null : Number(value), job: null });
    delete session.engine;
    settle();
  });
}

function ensembleChoice() {
  const pairs = [["", "as it stands"], [8, "mean of 8 snapshots at 300 K"], [16, "mean of 16"], [32, "mean of 32"]];
  return choice("Thermal motion", pairs, state.ensemble ?? "", (value) => {
    change({ ensemble: value ? Number(value) : null });
    emit("ensemble");
    if (value) say("The thermal mean is drawn over the spectrum of the geometry.");
  });
}
