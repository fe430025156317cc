// The text of a file that the reader gives, in whatever encoding its instrument wrote.

/** UTF-8, or UTF-16 as its mark or every other byte says; else as Windows writes in the west, where µ and ° are bytes. */
export async function textOf(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const decoded = (encoding, fatal = false) => new TextDecoder(encoding, { fatal }).decode(bytes);
  const wide = wideOf(bytes);
  if (wide) return decoded(wide);
  try {
    return decoded("utf-8", true);
  } catch {
    return decoded("windows-1252");
  }
}

/** Which UTF-16 they are; null for anything else. */
function wideOf(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
  const start = [...bytes.slice(0, 64)],
    places = [0, 1].map((first) => start.filter((_, k) => k % 2 === first));
  const isNothing = places.map((values) => values.length > 3 && values.every((byte) => byte === 0));
  const isText = places.map((values) => values.every((byte) => byte !== 0));
  if (isText[0] && isNothing[1]) return "utf-16le";
  return isText[1] && isNothing[0] ? "utf-16be" : null;
}
