// Where the structure comes from: a dropped file, a model that travels with the program, or one that is built.

import { get } from "./api.js";
import { byId, fill, formulaParts, labelled, make, options } from "./dom.js";
import { textOf } from "./files.js";
import { during } from "./notices.js";
import { emit, on, session } from "./store.js";
import { open } from "./structure.js";

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
  ["ag25_sch3", "Achiral. Twist its motifs and see a CD appear"],
  ["ag29_sh_ph3_R", "Chiral by the fans of its ligands"],
  ["ag29_bdt_ph3_R", "With dithiolates, and published bands to compare"],
  ["ag12_sipr_tfa", "Six CF3COO to exchange for chiral ones"],
];
/** Files that hold a spectrum, wherever on the page they are dropped. */
const SPECTRUM = /\.(csv|tsv|txt|dat|jdx|dx|jcamp)$/i;
let lists = {};

/** Set the card up. */
export async function startSource() {
  listenToFiles();
  byId("other").addEventListener("click", () => openStart(true));
  byId("start-close").addEventListener("click", () => openStart(false));
  byId("shipped").addEventListener("change", pickModel);
  byId("blueprint").addEventListener("change", showSites);
  byId("build").addEventListener("submit", build);
  on("source", () => openStart(false));
  const [structures, blueprints, ligands] = (await during("Starting", () =>
    Promise.all(["structures", "blueprints", "ligands"].map((name) => get(`v1/${name}`))),
  )) || [[], [], []];
  lists = { structures, blueprints, ligands };
  fill(byId("shipped"), options([["", "Choose …"]]), groups(structures));
  fill(byId("blueprint"), options(blueprints.map(({ name, title }) => [name, title])));
  fill(byId("examples"), EXAMPLES.filter(([name]) => structures.some((each) => each.name === name)).map(example));
  showSites();
}

/** The ligands of the library. */
export const ligands = () => lists.ligands || [];

/** The models that travel with the program. */
export const models = () => lists.structures || [];

function example([name, words]) {
  return make(
    "button",
    { type: "button", class: "example", onclick: () => pick({ shipped: name }) },
    make("b", {}, formulaParts(name.split("_")[0].replace("ag", "Ag"))),
    make("span", {}, words),
  );
}

function groups(structures) {
  const families = new Map();
  for (const each of structures) {
    const family = each.name.split("_")[0].replace("ag", "Ag");
    families.set(family, [
      ...(families.get(family) || []),
      [each.name, `${each.title}${each.hand ? `, hand ${each.hand}` : ""}`],
    ]);
  }
  return [...families].map(([label, pairs]) => make("optgroup", { label }, options(pairs)));
}

function showSites() {
  const plan = (lists.blueprints || []).find(({ name }) => name === byId("blueprint").value);
  if (!plan) return;
  const sites = Object.keys(SITES).filter((site) => plan.sites.includes(site));
  const suiting = (site) =>
    lists.ligands.filter((each) => each.kind !== "counter-ion" && SITES[site](each)).map(({ name }) => [name, name]);
  const select = (name, pairs) =>
    labelled(name[0].toUpperCase() + name.slice(1), make("select", { name }, options(pairs)));
  fill(
    byId("build-sites"),
    sites.map((site) => select(site, [["", site === "solvent" ? "none" : "as in the blueprint"], ...suiting(site)])),
    plan.hands.length
      ? select(
          "hand",
          plan.hands.map((hand) => [hand, hand]),
        )
      : [],
  );
}

function build(event) {
  event.preventDefault();
  const values = [...new FormData(event.target)].filter(([, value]) => value);
  pick({ build: Object.fromEntries(values) });
}

/** The list goes back to its first line, so that the same model can be picked again. */
function pickModel({ target }) {
  if (target.value) pick({ shipped: target.value });
  target.value = "";
}

async function pick(source, values = {}) {
  if ((await open(source, values)) === null) openStart(!session.geometry);
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
    const isMeasured = event.target.closest?.("#measured-drop") || (session.geometry && SPECTRUM.test(file?.name));
    if (file) emit(isMeasured ? "measured-file" : "structure-file", file);
  });
  on("structure-file", take);
}

async function take(file) {
  const source = { file: { name: file.name, text: await textOf(file) } },
    { awaited } = session;
  return pick(source, awaited?.source.file.name === file.name ? awaited : {}); // the file that a link could not hold
}
