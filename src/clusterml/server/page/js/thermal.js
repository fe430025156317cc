// The thermal mean: the mean spectrum of snapshots of the structure that is shown.

import { isNetworkDrawn, modelKey } from "./answer.js";
import { post } from "./api.js";
import { during } from "./notices.js";
import { emit, on, session, state } from "./store.js";
import { charged, currentKeys } from "./structure.js";

/** Set it up. */
export function startThermal() {
  on("ensemble", compute);
  on("settled", () => state.ensemble && compute());
}

async function compute() {
  delete session.thermal;
  const members = state.ensemble,
    shown = session.geometry;
  if (members && session.prediction && isNetworkDrawn()) {
    const answer = await during("Shaking the structure", () =>
      post("predict", { ...currentKeys(), ...charged(), ensemble: members, ...modelKey() }),
    );
    if (!answer || members !== state.ensemble || shown !== session.geometry) return;
    session.thermal = answer;
  }
  emit("spectra");
}
