// Starts the page: its cards, the panels, light and dark, and what a link says.

import { startChirality } from "./chirality.js";
import { startCommand } from "./command.js";
import { afterwards, byId } from "./dom.js";
import { startDownloads } from "./downloads.js";
import { startEngine } from "./engine.js";
import { startExchange } from "./exchange.js";
import { startHolds } from "./holds.js";
import { makeLink, readLink } from "./link.js";
import { startMeasured } from "./measured.js";
import { copy, say } from "./notices.js";
import { startPublished } from "./published.js";
import { startScene } from "./scene.js";
import { startShares } from "./shares.js";
import { startSliders } from "./sliders.js";
import { openStart, startSource } from "./source.js";
import { startSpectra, themeName } from "./spectra.js";
import { change, emit, on, session, state } from "./store.js";
import { open } from "./structure.js";
import { startThermal } from "./thermal.js";
import { startWorth } from "./worth.js";

function startTheme() {
  byId("theme").addEventListener("click", () => {
    const theme = themeName() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("clusterml-theme", theme);
    emit("theme");
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => emit("theme"));
}

function startTabs() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const select = (tab, focus = false) => {
    for (const each of tabs) {
      const chosen = each === tab;
      each.setAttribute("aria-selected", chosen);
      each.tabIndex = chosen ? 0 : -1;
      byId(each.getAttribute("aria-controls")).hidden = !chosen;
    }
    if (focus) tab.focus();
    if (state.tab !== tab.dataset.tab) change({ tab: tab.dataset.tab });
    emit("tab", tab.dataset.tab);
  };
  tabs.forEach((tab, k) => {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) select(tabs[(k + step + tabs.length) % tabs.length], true);
    });
  });
  const show = () => select(tabs.find(({ dataset }) => dataset.tab === state.tab) || tabs[0]);
  on("source", show);
  show();
}

const renewAddress = afterwards(async () => {
  if (!session.geometry) return;
  history.replaceState(null, "", (await makeLink()).link);
}, 400);

function startLink() {
  on("state", renewAddress);
  on("structure", renewAddress);
  window.addEventListener("hashchange", begin); // another link in the same window
  byId("link").addEventListener("click", async () => {
    const { link, without } = await makeLink();
    emit("linked");
    await copy(
      link,
      without.length ? `Link copied. Send ${without.join(" and ")} along: too long for a link.` : "Link copied.",
    );
  });
}

async function begin() {
  const values = await readLink(location.hash);
  if (!values?.source) {
    if (location.hash) {
      history.replaceState(null, "", location.pathname);
      say("This link is damaged: part of it may be missing.");
    }
    return openStart(true);
  }
  const { source, ...rest } = values;
  if (source.file && source.file.text === null) {
    session.awaited = values;
    openStart(true);
    return say(`This link needs the file ${source.file.name}: drop it here.`);
  }
  if ((await open(source, rest)) === null) openStart(true);
}

for (const start of [
  startTheme,
  startTabs,
  startHolds,
  startScene,
  startSpectra,
  startWorth,
  startThermal,
  startMeasured,
  startExchange,
  startChirality,
  startShares,
  startDownloads,
  startCommand,
  startLink,
])
  start();
await Promise.all([startSource(), startSliders(), startEngine(), startPublished()]);
await begin();
document.documentElement.dataset.ready = "true";
