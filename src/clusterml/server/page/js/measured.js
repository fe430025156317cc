// A measured spectrum laid over the computed one, with the shift that fits best.

import { comparisons } from "./answer.js";
import { post } from "./api.js";
import { byId, counted, fill, fixed, labelled, make, number, numberIn, options, signed } from "./dom.js";
import { textOf } from "./files.js";
import { clearProblem, during, showProblem } from "./notices.js";
import { change, emit, on, session, show, state } from "./store.js";

const UNITS = [
  "mdeg",
  "molar-ellipticity",
  "delta_epsilon",
  "delta_absorbance",
  "absorbance",
  "epsilon",
  "log_epsilon",
];

let turn = 0; // the newest reading or comparison

/** Set it up. */
export function startMeasured() {
  on("measured-file", take);
  on("structure", () => (state.measured && session.measuredOf !== text() ? read() : write()));
  for (const name of ["settled", "engine"]) on(name, () => session.measured && compare());
}

async function take(file) {
  change({ measured: { name: file.name, text: await textOf(file) } });
  await read();
}

const keys = () =>
  Object.fromEntries(Object.entries(state.measured).filter(([, value]) => value !== null && value !== ""));

/** What is read, as a text. */
const text = () => JSON.stringify(keys());

async function read() {
  leave();
  const mine = turn;
  session.measuredOf = text();
  clearProblem();
  const answer = await during("Reading the measured spectrum", () => post("spectrum", keys()));
  if (mine !== turn) return;
  session.measured = answer?.spectrum && withoutNull(answer.spectrum);
  session.measuredWarnings = answer?.warnings || [];
  if (session.measured) await compare();
  write();
  emit("spectra");
}

/** What a file does not hold is a curve of nothing. */
function withoutNull(spectrum) {
  const nothing = spectrum.energy_ev.map(() => null);
  return { ...spectrum, epsilon: spectrum.epsilon || nothing, delta_epsilon: spectrum.delta_epsilon || nothing };
}

async function compare() {
  const mine = (turn += 1);
  const said = await comparisons(keys(), () => mine !== turn);
  if (!said) return;
  session.comparison = said;
  write();
  emit("spectra");
}

function write() {
  const box = byId("measured"),
    title = make("h2", {}, "A measured spectrum");
  if (!state.measured) {
    leave(); // a link may have none
    return fill(box, title, chooser());
  }
  fill(
    box,
    title,
    make("p", { class: "soft" }, state.measured.name),
    details(),
    ...result(),
    make("p", { class: "row" }, make("button", { type: "button", onclick: forget }, "Remove")),
  );
}

function chooser() {
  const input = make("input", {
    type: "file",
    id: "measured-file",
    onchange: (event) => event.target.files[0] && take(event.target.files[0]),
  });
  return make(
    "label",
    { class: "drop small", id: "measured-drop" },
    input,
    make("span", {}, "Drop one here, or choose one: JCAMP-DX, JASCO, Chirascan, a table, ORCA .."),
  );
}

/** Concentration, path and what else the file may leave open. */
function details() {
  const field = (words, name, more = {}) =>
    labelled(
      words,
      make("input", {
        type: "text",
        id: `measured-${name}`,
        inputmode: more.text ? "text" : "decimal",
        placeholder: more.hint,
        value: state.measured[name] ?? "",
        onchange: (event) => set(name, event.target.value, !more.text && words),
      }),
    );
  const unit = labelled(
    "Unit",
    make(
      "select",
      { onchange: (event) => set("unit", event.target.value) },
      options(
        [["", "as the file says"], ...UNITS.map((name) => [name, name.replaceAll("_", " ")])],
        state.measured.unit ?? "",
      ),
    ),
  );
  const needed = !session.measured;
  return make(
    "details",
    { open: needed },
    make("summary", { class: "quiet" }, "How it was measured"),
    make(
      "div",
      { class: "choices" },
      field("Concentration / mol L⁻¹", "concentration", { hint: "2e-5" }),
      field("Path / cm", "path", { hint: "1" }),
      unit,
      field("Columns", "columns", { text: true, hint: "wavelength,cd,skip" }),
      field("Which block", "block", { text: true, hint: "1" }),
    ),
  );
}

/** Read it with what the reader has written into a field; one of a number says so by its `words`. */
function set(name, given, words = null) {
  const value = words ? numberIn(given) : given;
  if (words && given.trim() && value === null)
    return showProblem({ problem: `${words}: '${given}' is not a number`, remedy: "write the number alone, such as 2e-5" });
  change({ measured: { ...state.measured, [name]: value === "" ? null : value } });
  return read();
}

function leave() {
  turn += 1;
  for (const name of ["measured", "measuredOf", "comparison"]) delete session[name];
}

function forget() {
  change({ measured: null });
  leave();
  write();
  emit("spectra");
}

function result() {
  const all = Object.entries(session.comparison || {});
  if (!all.length) return [];
  const warnings = new Set([...all.flatMap(([, said]) => said.warnings), ...session.measuredWarnings]);
  const blocks = all.flatMap(([name, said]) => [
    make("h3", {}, `${name === "engine" ? "Engine" : "Network"}, shifted by ${signed(said.shift_ev, 2)} eV`),
    make(
      "dl",
      { class: "holds" },
      rows(said).map(([term, words]) => [make("dt", {}, term), make("dd", {}, words)]),
    ),
  ]);
  return [
    ...blocks,
    toggle("shift", "Draw the computed curves shifted"),
    toggle("sameHeight", "Scale the measured curve to the computed height"),
    ...[...warnings].map((words) => make("p", { class: "note" }, words)),
  ];
}

const toggle = (name, words) =>
  make(
    "label",
    { class: "inline" },
    make("input", {
      type: "checkbox",
      checked: state.show[name],
      onchange: (event) => show({ [name]: event.target.checked }),
    }),
    words,
  );

function rows({ absorption, cd, chance, hand, cd_bands: bands, sign_agreement: agreement }) {
  const likely = (value) =>
    value === null || value === undefined
      ? ""
      : `; a random spectrum does as well in ${number(100 * value, 2)} % of cases`;
  const matched = bands.filter(({ same_sign: same }) => same !== null).length;
  return [
    ["Absorption", absorption && `cosine ${fixed(absorption.cosine)}${likely(chance.absorption)}`],
    ["CD", cd && `cosine ${fixed(cd.cosine)}${likely(chance.cd)}`],
    [
      "Signs",
      agreement !== null &&
        matched &&
        `${number(100 * agreement, 2)} % of ${counted(matched, "matched CD band")} agree`,
    ],
    ["Hand", hand],
  ].filter(([, words]) => words);
}
