// What the spectrum is worth, in words: the domain of the network, the sign of the CD, its protocol, warnings.

import { byId, fill, make, number } from "./dom.js";
import { on, session } from "./store.js";

/** Set the words up. */
export function startWorth() {
  on("spectra", write);
  on("structure", () => fill(byId("worth")));
}

function write() {
  const prediction = session.prediction;
  if (session.isQuick) return fill(byId("worth"), live());
  if (!prediction) return fill(byId("worth"), session.problem ? outside() : [], session.engine ? byEngine() : []);
  fill(byId("worth"), domain(prediction), sign(prediction), protocol(prediction), ...notes(prediction));
}

function live() {
  const speed = session.framesPerSecond ? `, ${session.framesPerSecond.toFixed(0)} pictures a second` : "";
  return line("live", "Live", `one network, without its error, until the slider rests${speed}`);
}

function outside() {
  return line("warn", "Network", `no prediction: ${session.problem.problem}; ${session.problem.remedy}`);
}

function byEngine() {
  const { reliability, warnings } = session.engine;
  return [protocol({ reliability }), ...warnings.map((words) => line("warn", "Note", words))];
}

function domain({ in_domain: inside, domain_score: score }) {
  const distance = score === null || score === undefined ? "" : ` (distance ${number(score, 2)}, its limit is 1)`;
  if (inside === undefined || inside === null)
    return line("warn", "Domain", "this network does not know where it holds");
  if (inside) return line("good", "Domain", `the network knows such structures${distance}`);
  return line("warn", "Domain", `outside what the network has learnt${distance}: take the engine`);
}

function sign({ significance }) {
  const good = { significant: "good", "no CD": "plain" }[significance.verdict] || "warn";
  return line(good, "CD", significance.sentence);
}

function protocol({ reliability }) {
  const supported = reliability.bands.some((band) => band.supported);
  return line(supported ? "good" : "warn", "Method", reliability.sentence.replace(/^CD: /, ""));
}

function notes({ warnings }) {
  return [...warnings, ...(session.warnings || [])].map((words) => line("warn", "Note", words));
}

function line(kind, title, words) {
  return make("p", { class: `worth ${kind}` }, make("b", {}, title), make("span", {}, words));
}
