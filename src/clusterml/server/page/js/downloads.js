// Files of what is shown: from the server CSV, JSON, JCAMP-DX and the structure, from the page the picture.

import { mainResult } from "./answer.js";
import { post } from "./api.js";
import { byId, fill, make } from "./dom.js";
import { during, say } from "./notices.js";
import { session, state } from "./store.js";
import { currentKeys, settled } from "./structure.js";
import { filePicture } from "./curves.js";

const PNG_SCALE = 2;

/** Set the menu up. */
export function startDownloads() {
  const entries = [
    ["Spectrum as CSV", () => exported("csv", "csv", "text/csv")],
    ["Spectrum as JCAMP-DX", () => exported("jcamp", "jdx", "chemical/x-jcamp-dx")],
    ["Result as JSON", () => save(`${stem()}.json`, resultText(), "application/json")],
    ["Picture as SVG", () => save(`${stem()}.svg`, pictureText(), "image/svg+xml")],
    ["Picture as PNG", png],
    ["Structure as xyz", () => save(`${stem()}.xyz`, currentXyz(), "chemical/x-xyz")],
    ["Engine's result as JSON", engineJson],
  ];
  fill(
    byId("downloads"),
    entries.map(([words, work]) => make("button", { type: "button", onclick: () => start(work) }, words)),
  );
  for (const menu of document.querySelectorAll("details.menu")) {
    document.addEventListener("pointerdown", (event) => menu.contains(event.target) || (menu.open = false));
    menu.addEventListener("keydown", (event) => event.key === "Escape" && (menu.open = false));
  }
}

async function start(work) {
  byId("downloads").closest("details").open = false;
  if (!session.geometry || !(await settled())) return;
  await during("Making the file", async () => work());
}

/** The result that counts, as the server gave it: what `clusterml predict --json` or `label --json` prints. */
function resultText() {
  return JSON.stringify(there(mainResult()).result);
}

const pictureText = () => there(filePicture()).svg;

/** What there is of a spectrum; throws where there is none. */
function there(what) {
  if (!what) throw { problem: "there is no spectrum to write yet", remedy: "let the engine compute it" };
  return what;
}

const stem = () => session.geometry.name.replace(/[^\w.+-]+/g, "_") || "cluster";

const currentXyz = () => currentKeys().file?.text ?? session.geometry.xyz;

async function exported(kind, ending, type) {
  const { text } = await post("spectrum", { name: `${stem()}.json`, text: resultText(), export: kind });
  return save(`${stem()}.${ending}`, text, type);
}

function engineJson() {
  if (!session.engine) return say(state.job ? "The engine has not finished." : "The engine has not computed this.");
  return save(`${stem()}_engine.json`, JSON.stringify(session.engine), "application/json");
}

async function png() {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(pictureText())}`;
  await image.decode();
  const canvas = make("canvas", { width: PNG_SCALE * image.width, height: PNG_SCALE * image.height });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  saveBlob(`${stem()}.png`, await new Promise((resolve) => canvas.toBlob(resolve)));
}

const save = (name, text, type) => saveBlob(name, new Blob([text], { type }));

function saveBlob(name, blob) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  say(`${name} saved.`);
}
