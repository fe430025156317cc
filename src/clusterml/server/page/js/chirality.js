// The chirality panel: measures of each part, the fit of a template, and what the CD of a band comes from.

import { isOutside } from "./answer.js";
import { post } from "./api.js";
import { byId, fill, fixed, make, number, signed, table } from "./dom.js";
import { diverging, LEAST_REACH } from "./elements.js";
import { during, readEnds } from "./notices.js";
import { NM_EV } from "./plot.js";
import { band, shareOut, sharesWords } from "./shares.js";
import { on, session, state } from "./store.js";
import { currentKeys, settled } from "./structure.js";

const OFFER = "Shares the CD of a band out among kernel, shells and ligands, by the engine, and colours the atoms.";

let turn = 0, // measures of an earlier turn are of another geometry
  measuring = null; // the turn of those on their way

/** Set the panel up. */
export function startChirality() {
  for (const name of ["source", "moved"]) on(name, () => (turn += 1));
  for (const name of ["structure", "settled", "moved", "shares"]) on(name, write);
  on("tab", (name) => name === "chirality" && write());
}

function write() {
  if (state.tab !== "chirality" || !session.geometry) return;
  fill(
    byId("panel-chirality"),
    ...predicted(),
    make("h3", {}, "What makes it chiral"),
    ...shares(),
    make("h3", {}, "How chiral its parts are"),
    ...measures(),
  );
}

function predicted() {
  const prediction = session.prediction?.chirality;
  if (!prediction || isOutside()) return [];
  return [
    make(
      "p",
      { class: "soft" },
      `Metals and donors, by the network: ${number(prediction.ccm_frame, 2)} on the scale of 0 (achiral) to 100, ` +
        `signed index ${signed(prediction.opd_local_frame, 2)}.`,
    ),
  ];
}

function shares() {
  const unit = state.axis,
    shown = band()
      .map((value) => (unit === "nm" ? NM_EV / value : value))
      .sort((a, b) => a - b);
  const field = (place, words) =>
    make("input", {
      type: "number",
      step: "any",
      "aria-label": words,
      value: Number(shown[place].toPrecision(4)),
      id: `band-${place}`,
    });
  const form = make(
    "form",
    { class: "row", onsubmit: readBand },
    "CD from",
    field(0, "Band from"),
    "to",
    field(1, "Band to"),
    unit,
    make("button", {}, "Attribute this CD to atoms"),
  );
  const said = session.shares;
  const words = sharesWords();
  if (!said) return [form, words || make("p", { class: "soft" }, OFFER)];
  const total = said.total.value,
    most = Math.max(...Object.values(said.parts).map(({ value }) => Math.abs(value)), LEAST_REACH);
  return [
    form,
    words,
    table(
      ["Part", "Atoms", "Share", ""],
      Object.entries(said.parts).map(([name, { value, std, atoms }]) => [
        name,
        String(atoms.length),
        `${signed(value, 3)}${std ? ` ± ${number(std, 2)}` : ""}`,
        bar(value, most),
      ]),
    ),
    make("p", { class: "soft" }, `Together ${signed(total, 3)} L mol⁻¹ cm⁻¹ eV${verdict(said.significance)}.`),
  ];
}

/** Of the engine's total there is none: its CD is computed. */
const verdict = ({ verdict: words }) => (words === "computed" ? "" : ` (${words})`);

function readBand(event) {
  event.preventDefault();
  const ends = readEnds("The band", ["band-0", "band-1"]);
  if (!ends) return;
  const energies = ends.map((value) => (state.axis === "nm" ? NM_EV / value : value)).sort((a, b) => a - b);
  shareOut(energies.map((value) => Number(value.toFixed(4))));
}

function bar(value, most) {
  const share = value / most,
    wide = 50 * Math.abs(share);
  const style = `left:${share < 0 ? 50 - wide : 50}%;width:${wide}%;background:${diverging(Math.sign(share))}`;
  return make("span", { class: "bar-of-share" }, make("i", { style }));
}

function measures() {
  const said = session.chirality;
  if (!said) {
    const button = make("button", { type: "button", id: "measure", onclick: measure }, "Measure");
    return [make("p", { class: "row" }, button, make("span", { class: "soft" }, "takes about 10 seconds"))];
  }
  const rows = said.parts.map((part) => [
    part.name,
    fixed(part.ccm, 2),
    fixed(part.mirror_misfit_a, 2),
    fixed(1000 * part.opd_local, 3),
    groups(part),
  ]);
  return [
    table(["Part", "CCM", "Mirror / Å", "Index", "Symmetry"], rows),
    make(
      "p",
      { class: "soft small" },
      "CCM: 0 (achiral) to 100. Mirror: distance from the mirror image. Index: signed, times 1000, opposite for mirror images. Symmetry: within 0.01 and 0.3 Å.",
    ),
    ...template(said.template),
    ...turns(said.template),
    ...said.warnings.map((words) => make("p", { class: "note" }, words)),
  ];
}

const groups = ({ point_groups: known }) =>
  known ? [...new Set([known["0.01"], known["0.3"]].filter(Boolean))].join(", ") : "–";

async function measure() {
  if (measuring === turn || !(await settled()) || measuring === turn) return;
  const mine = (measuring = turn);
  const answer = await during("Measuring", () => post("chirality", currentKeys()));
  if (measuring === mine) measuring = null;
  if (!answer || mine !== turn) return;
  session.chirality = answer;
  write();
}

function template(fit) {
  if (!fit) return [];
  const rows = fit.shells.map((shell) => [
    shell.name,
    String(shell.n_atoms),
    fixed(shell.rmsd_a),
    fixed(shell.radius_a),
    fixed(shell.ideal_radius_a),
  ]);
  return [
    make("h3", {}, `Against ${fit.name} (${fit.ideal})`),
    table(["Shell", "Atoms", "RMSD / Å", "Radius / Å", "Ideal / Å"], rows),
    make("p", { class: "soft small" }, `All together ${fixed(fit.rmsd_a)} Å at a scale of ${fixed(fit.scale, 3)}.`),
  ];
}

function turns(fit) {
  if (!fit?.motifs?.length) return [];
  const counts = new Map();
  for (const { kind, angle_deg: angle } of fit.motifs) {
    const words = `${kind} ${signed(angle, 3)}°`;
    counts.set(words, (counts.get(words) || 0) + 1);
  }
  const words = [...counts].map(([each, count]) => (count > 1 ? `${count} × ${each}` : each));
  return [
    make("p", { class: "soft small" }, `Turns: ${words.join(", ")} (positive: anticlockwise seen from outside).`),
  ];
}
