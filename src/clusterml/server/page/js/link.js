// A link that reproduces the state: what differs from the start, as JSON, deflated, in the part behind #.

import { START, state } from "./store.js";

const PREFIX = "#s=";
/** Longer links are cut by mail and chat programs; files that make them longer are left out. */
const LONGEST = 30_000;

/** The link and the names of the files that did not fit into it. */
export async function makeLink() {
  const kept = differences(state);
  const full = await packed(kept);
  if (full.length <= LONGEST) return { link: address(full), without: [] };
  const without = [];
  for (const name of ["measured", "source"]) {
    const file = name === "source" ? kept.source?.file : kept.measured;
    if (!file) continue;
    without.push(file.name);
    if (name === "source") kept.source = { file: { name: file.name, text: null } };
    else delete kept.measured;
    const short = await packed(kept);
    if (short.length <= LONGEST) return { link: address(short), without };
  }
  return { link: address(await packed(kept)), without };
}

/** The state in a link, or null. */
export async function readLink(hash) {
  if (!hash.startsWith(PREFIX)) return null;
  try {
    const values = JSON.parse(await unpacked(hash.slice(PREFIX.length)));
    const known = Object.fromEntries(Object.entries(values).filter(([name]) => name in START));
    return { ...structuredClone(START), ...known, show: { ...START.show, ...known.show } };
  } catch {
    return null;
  }
}

function differences(values) {
  const different = ([name, value]) => JSON.stringify(value) !== JSON.stringify(START[name]);
  return Object.fromEntries(Object.entries(values).filter(different));
}

const address = (text) => `${location.origin}${location.pathname}${PREFIX}${text}`;

async function packed(value) {
  const stream = new Blob([JSON.stringify(value)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).text();
}
