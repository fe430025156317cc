// The server's API: JSON there and back, its errors, its token, and the progress of jobs.

import { byId } from "./dom.js";

const TOKEN = "clusterml-token";
const TRIES = 4;

/** What the server refused, with what to do about it. */
class Refusal extends Error {
  constructor(problem, remedy, status = 0, kind = "") {
    super(problem);
    Object.assign(this, { problem, remedy, status, kind });
  }
}

/** The answer to a POST; throws a Refusal. */
export const post = (path, body, signal) => ask(`v1/${path}`, { method: "POST", body: JSON.stringify(body), signal });

/** The answer to a GET; throws a Refusal. */
export const get = (path) => ask(path, {});

/** Ends a job. */
export const remove = (path) => ask(path, { method: "DELETE" });

async function ask(path, how) {
  const response = await send(path, how);
  return response.json();
}

async function send(path, how, tries = TRIES) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...how, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("the server does not answer", "see whether clusterml serve is still running");
  }
  if (response.ok) return response;
  if (response.status === 401 && (await askForToken())) return send(path, how, tries);
  if (response.status === 503 && tries > 1) {
    await new Promise((resolve) => setTimeout(resolve, 1000 * Number(response.headers.get("Retry-After") || 1)));
    return send(path, how, tries - 1);
  }
  throw await refusalOf(response);
}

async function refusalOf(response) {
  try {
    const { problem, remedy, error } = await response.json();
    return new Refusal(problem, remedy, response.status, error);
  } catch {
    return new Refusal(`the server answered with status ${response.status}`, "try again", response.status);
  }
}

let asking = null;

/** Ask for the server's token; false where the reader gives none.  Requests that wait share one question. */
function askForToken() {
  asking ??= new Promise((resolve) => {
    const dialog = byId("token"),
      field = byId("token-value");
    byId("token-words").textContent = sessionStorage.getItem(TOKEN)
      ? "That was not its token."
      : "It was set when the server was started.";
    dialog.returnValue = ""; // Escape leaves it as it is
    dialog.showModal();
    dialog.addEventListener(
      "close",
      () => {
        asking = null;
        if (dialog.returnValue === "ok" && field.value) sessionStorage.setItem(TOKEN, field.value);
        resolve(dialog.returnValue === "ok" && Boolean(field.value));
      },
      { once: true },
    );
  });
  return asking;
}

/** The events of a job as [name, object] pairs until it has ended. */
export async function* events(job, signal) {
  const response = await send(`v1/jobs/${job}/events`, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block),
        data = /^data: (.*)$/m.exec(block);
      if (name && data) yield [name[1], JSON.parse(data[1])];
    }
  }
}
