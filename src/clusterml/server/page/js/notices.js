// What the reader must know: problems with their remedies, and short news.

import { byId, fill, make, numberIn, onPage } from "./dom.js";

/** Show a problem and its remedy until it is closed or another one comes. */
export function showProblem(error) {
  if (error.name === "AbortError") return;
  if (!error.problem) console.error(error); // a fault of the page
  const problem = error.problem || "the page could not do this",
    remedy = error.remedy || "reload the page";
  const close = make("button", { class: "plain", "aria-label": "Close", onclick: clearProblem }, "✕");
  fill(
    byId("problem"),
    make("p", {}, make("strong", {}, ended(problem)), " ", ended(onPage(remedy[0].toUpperCase() + remedy.slice(1)))),
    close,
  );
  byId("problem").hidden = false;
}

/** Nothing is wrong any more. */
export function clearProblem() {
  byId("problem").hidden = true;
  fill(byId("problem"));
}

let fading = 0;

/** Short news that go away by themselves. */
export function say(words) {
  byId("news").textContent = words;
  byId("news").classList.add("seen");
  clearTimeout(fading);
  fading = setTimeout(() => byId("news").classList.remove("seen"), 5000);
}

/** Put a text onto the clipboard; pages of other computers without TLS have none, so the text is shown. */
export async function copy(text, words) {
  try {
    await navigator.clipboard.writeText(text);
    say(words);
  } catch {
    prompt("Copy this:", text);
  }
}

/** The numbers in two fields, the lower one first; null where they are no range, which is said. */
export function readEnds(what, fields) {
  const ends = fields.map((id) => numberIn(byId(id).value)).sort((a, b) => a - b);
  if (ends.every((value) => value > 0) && ends[0] < ends[1]) return ends;
  say(`${what} runs between two different numbers above 0: write both.`);
  return null;
}

let working = 0;

/** Do something that takes time, with the sign that the page is at work; its problem is shown and null given. */
export async function during(words, work) {
  working += 1;
  byId("busy").textContent = words;
  byId("busy").classList.add("seen");
  try {
    return await work();
  } catch (error) {
    showProblem(error);
    return null;
  } finally {
    working -= 1;
    if (!working) byId("busy").classList.remove("seen");
  }
}

/** With a full stop at its end. */
export const ended = (words) => (/[.!?]$/.test(words) ? words : `${words}.`);
