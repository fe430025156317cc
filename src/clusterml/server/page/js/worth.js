// What the spectrum is worth, in words: the domain of the network, the sign of the CD, its protocol, warnings.

import { isAdvised, isNetworkDrawn, isOutside, mainResult, strongestCd } from "./answer.js";
import { byId, fill, make, number, onPage } from "./dom.js";
import { askCharge } from "./holds.js";
import { on, session, state } from "./store.js";

/** Set the words up. */
export function startWorth() {
  on("spectra", write);
  on("structure", () => fill(byId("worth")));
}

function write() {
  const prediction = session.prediction;
  if (session.isQuick) return fill(byId("worth"), live());
  if (!prediction) return fill(byId("worth"), session.problem ? noPrediction() : [], session.engine ? byEngine() : []);
  const byNetwork = [sign, protocol].map((words) => isNetworkDrawn() && words(prediction));
  const main = mainResult()?.name === "engine" ? byEngine() : [...byNetwork, ...notes(prediction)];
  return fill(byId("worth"), domain(prediction), isAdvised() && !isOutside() ? why() : [], main);
}

function live() {
  const speed = session.framesPerSecond ? `, ${session.framesPerSecond.toFixed(0)} frames per second` : "";
  if (!session.prediction) return line("live", "Live", `the geometry alone, until the slider rests${speed}`);
  if (isOutside()) return line("live", "Live", `by a network that does not know this cluster, until the slider rests${speed}`);
  return line("live", "Live", `one network, without its error, until the slider rests${speed}`);
}

function noPrediction() {
  const { problem, remedy } = session.problem;
  const words = line("warn", "Network", `no prediction: ${problem}; ${isAdvised() ? byWhom() : remedy}`);
  return [words, session.problem.kind === "ChargeError" ? askCharge() : null];
}

/** What the engine does where it is advised. */
function byWhom() {
  if (session.engine) return "the spectrum is the engine's";
  if (state.job) return "the engine is computing it";
  const { objection } = session.advice;
  return `the engine has to compute it${objection ? `, but ${objection}` : ""}`;
}

/** Why the engine is advised for what the network knows. */
const why = () => line("plain", "Engine", `${session.advice.reason}: ${byWhom()}`);

function byEngine() {
  const { reliability, warnings } = session.engine;
  return [
    line("plain", "CD", strongestCd(session.engine)?.sentence || "no CD"),
    protocol({ reliability }),
    ...notes({ warnings }),
  ];
}

function domain({ in_domain: inside, domain_score: score }) {
  const distance = score === null || score === undefined ? "" : ` (distance ${number(score, 2)}, its limit is 1)`;
  if (inside === undefined || inside === null)
    return line("warn", "Domain", "this network has no domain check");
  if (inside) return line("good", "Domain", `the network knows such structures${distance}`);
  return line(
    session.engine ? "plain" : "warn",
    "Domain",
    `outside what the network has learnt${distance}${isAdvised() ? `: ${byWhom()}` : ""}`,
  );
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
  return [...new Set([...warnings, ...(session.warnings || [])])].map((words) => line("warn", "Note", words));
}

function line(kind, title, words) {
  return make("p", { class: `worth ${kind}` }, make("b", {}, title), make("span", {}, onPage(words)));
}
