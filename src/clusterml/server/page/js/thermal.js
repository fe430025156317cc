// The thermal mean: the mean spectrum of snapshots of the structure that is shown.

import { isNetworkDrawn, modelKey, widthKey } from "./answer.js";
import { post } from "./api.js";
import { during } from "./notices.js";
import { emit, on, session, state } from "./store.js";
import { charged, currentKeys, settled } from "./structure.js";

let turn = 0; // an answer of an earlier turn is of another geometry, or of so many snapshots as before

/** Set it up. */
export function startThermal() {
  for (const name of ["source", "moved"]) on(name, () => (turn += 1));
  on("ensemble", compute);
  on("settled", () => state.ensemble && compute());
}

async function compute() {
  const mine = (turn += 1);
  delete session.thermal;
  if (state.ensemble && (await settled()) && mine === turn && session.prediction && isNetworkDrawn()) {
    const answer = await during("Shaking the structure", () =>
      post("predict", { ...currentKeys(), ...charged(), ensemble: state.ensemble, ...modelKey(), ...widthKey() }),
    );
    if (!answer || mine !== turn) return;
    session.thermal = answer;
  }
  emit("spectra");
}
