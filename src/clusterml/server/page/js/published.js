// Band positions from the literature beside the computed spectrum, with the shift that fits best.

import { comparisons } from "./answer.js";
import { get } from "./api.js";
import { byId, fill, fixed, labelled, make, number, options, signed, table } from "./dom.js";
import { during } from "./notices.js";
import { change, emit, on, session, state } from "./store.js";

let systems = [],
  turn = 0; // the newest comparison

/** Set it up. */
export async function startPublished() {
  for (const name of ["structure", "settled", "engine"]) on(name, compare);
  systems = (await during("Starting", () => get("v1/bands"))) || [];
  write();
}

async function compare() {
  const mine = (turn += 1);
  const said = state.bands ? await comparisons(`bands:${state.bands}`, () => mine !== turn) : {};
  if (!said) return;
  session.published = said;
  write();
  emit("spectra");
}

function write() {
  const known = systems.find(({ name }) => name === state.bands);
  const pairs = [["", "none"], ...systems.map(({ name }) => [name, name])];
  const select = make("select", { id: "published", onchange: (event) => choose(event.target.value) });
  select.append(...options(pairs, state.bands ?? ""));
  fill(
    byId("bands"),
    make("h2", {}, "Published bands"),
    labelled("Of which cluster", select),
    known && make("p", { class: "soft" }, known.composition),
    Object.entries(session.published || {}).map(([name, said]) => result(name, said)),
  );
}

function choose(system) {
  change({ bands: system || null });
  compare();
}

function result(name, said) {
  const { matches, chance, mean_deviation_ev: mean, n_matched: count, warnings } = said;
  const rows = matches.map(({ measured, computed, deviation_ev: off }) => [
    `${number(measured.nm)} nm`,
    [measured.quantity === "cd" ? "CD" : "absorption", measured.kind, measured.state].filter(Boolean).join(", "),
    computed ? `${number(computed.wavelength_nm)} nm` : "–",
    off === null ? "–" : `${off >= 0.005 ? "+" : ""}${fixed(off)}`,
  ]);
  const share = `a random list does as well in ${number(100 * chance, 2)} % of cases`;
  const words = `${count} of ${matches.length} bands match${mean === null ? "" : `, to ${fixed(mean)} eV`}; ${share}.`;
  return [
    make("h3", {}, `${name === "engine" ? "Engine" : "Network"}, shifted by ${signed(said.shift_ev, 2)} eV`),
    table(["Measured", "", "Computed", "Off / eV"], rows),
    make("p", { class: "soft" }, words),
    warnings.map((each) => make("p", { class: "note" }, each)),
  ];
}
