// Ligand exchange: sites picked one by one, in the view or as buttons; the structure is made anew from the first one.

import { post } from "./api.js";
import { byId, counted, fill, labelled, make, options } from "./dom.js";
import { during } from "./notices.js";
import { emit, on, session, state } from "./store.js";
import { ligands } from "./source.js";
import { rebuild } from "./structure.js";

let old = null,
  replacement = null,
  sites = [],
  base = null, // what they are the sites in
  coming = null; // exchanges that are on their way to what is shown

/** Set the panel up. */
export function startExchange() {
  on("structure", refresh);
  on("source", () => (coming = null));
  on("tab", (name) => (name === "exchange" ? refresh() : emit("markers", [])));
  on("picked", ({ number }) => toggle(number));
}

const exchanges = () => coming ?? state.exchanges;

const last = () => exchanges().at(-1);

/** Does the newest exchange go on? */
const goesOn = () => last() && last().old === old && last().new === replacement;

async function refresh() {
  if (state.tab !== "exchange" || !session.geometry) return;
  choose();
  write();
  await findSites();
}

function choose() {
  const names = session.inspect.ligands.map(nameOf);
  if (last() && old === null) [old, replacement] = [last().old, last().new];
  if (!goesOn() && !names.includes(old)) old = names.find((name) => name === "CF3COO") ?? names[0] ?? null;
  if (!partners().some(({ name }) => name === replacement)) {
    const [first] = partners(),
      chiral = partners().find(({ hand, donor_elements: donors }) => hand && donors[0] === first.donor_elements[0]);
    replacement = (chiral || first)?.name ?? null;
  }
}

const nameOf = ({ name, formula }) => name || formula;

/** Ligands of the library that may take the place of the old one: those of its charge, of the same donors first. */
function partners() {
  const known = ligands().find(({ name, aliases }) => name === old || aliases.includes(old));
  const fitting = ligands().filter(
    ({ kind, name, charge: own }) => kind === "ligand" && name !== old && (!known || own === known.charge),
  );
  const isAlike = ({ donor_elements: donors }) =>
    known && [...new Set(donors)].join() === [...new Set(known.donor_elements)].join();
  return [...fitting.filter(isAlike), ...fitting.filter((each) => !isAlike(each))];
}

/** The sites of the old ligand, in the structure before the newest exchange if that goes on. */
async function findSites() {
  if (!old) return;
  const before = goesOn() ? exchanges().slice(0, -1) : exchanges();
  const wanted = JSON.stringify([session.base, old, before]);
  if (base === wanted) return mark();
  const keys = goesOn() ? await keysAfter(before) : session.working;
  const answer = keys && (await during("Looking for sites", () => post("substitute", { ...keys, old })));
  if (!answer) return;
  base = wanted;
  sites = answer.sites;
  write();
  mark();
}

async function keysAfter(done) {
  let keys = session.base;
  for (const { old: from, new: to, sites: places } of done) {
    const answer = await during("Exchanging", () => post("substitute", { ...keys, old: from, new: to, sites: places }));
    if (!answer) return null;
    keys = { file: { name: `${answer.geometry.name}.xyz`, text: answer.geometry.xyz } };
  }
  return keys;
}

const chosen = () => (goesOn() ? last().sites : []);

function mark() {
  if (state.tab !== "exchange") return;
  emit(
    "markers",
    sites.map(({ number, position }) => ({
      number,
      position,
      label: String(number),
      chosen: chosen().includes(number),
    })),
  );
}

async function toggle(number) {
  const before = chosen();
  await take(before.includes(number) ? before.filter((each) => each !== number) : [...before, number]);
}

async function take(places) {
  const earlier = goesOn() ? exchanges().slice(0, -1) : exchanges();
  await exchange(places.length ? [...earlier, { old, new: replacement, sites: places }] : earlier);
}

/** Show the structure with such exchanges; those that the reader adds meanwhile follow them. */
async function exchange(wanted) {
  coming = wanted;
  write();
  await rebuild({ exchanges: wanted, job: null });
  if (coming === wanted) coming = null;
  write();
  mark();
}

function write() {
  const panel = byId("panel-exchange");
  if (!old) return fill(panel, make("p", { class: "soft" }, "No ligand was recognised that could be exchanged."));
  const olds = [...new Set([old, ...session.inspect.ligands.map(nameOf)])];
  fill(
    panel,
    make(
      "div",
      { class: "choices" },
      labelled(
        "Replace",
        make(
          "select",
          { id: "exchange-old", onchange: (event) => another(event.target.value, replacement) },
          options(
            olds.map((name) => [name, withCount(name)]),
            old,
          ),
        ),
      ),
      labelled(
        "by",
        make(
          "select",
          { id: "exchange-new", onchange: (event) => another(old, event.target.value) },
          options(
            partners().map((entry) => [entry.name, wordsOf(entry)]),
            replacement,
          ),
        ),
      ),
    ),
    make("p", { class: "soft" }, "Choose sites here, or by their numbers in the view."),
    make("div", { class: "sites", role: "group", "aria-label": "Sites" }, sites.map(siteButton)),
    make(
      "p",
      { class: "row" },
      make(
        "button",
        { type: "button", onclick: () => take(sites.map(({ number }) => number)), disabled: !sites.length },
        "All",
      ),
      make(
        "button",
        { type: "button", onclick: () => take(chosen().slice(0, -1)), disabled: !chosen().length },
        "Undo the last",
      ),
      make("button", { type: "button", onclick: reset, disabled: !state.exchanges.length }, "Undo all"),
    ),
    state.exchanges.length
      ? make(
          "p",
          {},
          state.exchanges.map(({ old: from, new: to, sites: places }) => `${places.length} ${from} → ${to}`).join(", "),
        )
      : null,
  );
}

function siteButton({ number, donors, metals }) {
  const isChosen = chosen().includes(number);
  return make(
    "button",
    {
      type: "button",
      class: "site",
      "aria-pressed": String(isChosen),
      onclick: () => toggle(number),
      title: `${counted(donors.length, "donor")} on ${counted(metals.length, "metal")}`,
    },
    String(number),
  );
}

function withCount(name) {
  const count = session.inspect.ligands.find((ligand) => nameOf(ligand) === name)?.count ?? 0;
  return `${name} (${count} left)`;
}

const wordsOf = ({ name, hand }) => `${name}${hand ? ` (hand ${hand})` : ""}`;

function another(from, to) {
  [old, replacement] = [from, to];
  if (!partners().some(({ name }) => name === replacement)) replacement = partners()[0]?.name ?? null;
  sites = [];
  base = null;
  write();
  return findSites();
}

const reset = () => exchange([]);
