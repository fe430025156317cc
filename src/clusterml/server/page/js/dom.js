// Small helpers for elements, and numbers as people read them.

/** The element with that id. */
export const byId = (id) => document.getElementById(id);

/** A new element; attributes whose value is a function are listeners, null and false are left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
}

/** Options of a select: [value, words] pairs. */
export function options(pairs, chosen) {
  return pairs.map(([value, words]) => make("option", { value, selected: String(value) === String(chosen) }, words));
}

/** A select with a label above it. */
export function labelled(words, control, hint = null) {
  return make("label", { class: "field" }, make("span", {}, words), control, hint && make("small", {}, hint));
}

/** A table with such heads; rows hold texts or elements. */
export function table(heads, rows) {
  const head = heads.map((words) => make("th", { scope: "col" }, words));
  const body = rows.map((cells) => {
    const row = cells.map((cell) => make("td", {}, cell));
    return make("tr", {}, row);
  });
  const whole = make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, body));
  return make("div", { class: "wide" }, whole);
}

const MINUS = "\u2212";

/** A number with a true minus sign and so many digits that count. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 1e-3 || size >= 1e6) return scientific(value, digits);
  const rounded = Number(value.toPrecision(digits));
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return rounded
    .toLocaleString("en", { maximumFractionDigits: decimals, useGrouping: size >= 1e4 })
    .replace("-", MINUS);
}

/** A number with so many digits behind the point; what rounds to nothing is 0. */
export function fixed(value, decimals = 2) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? "0" : text.replace("-", MINUS);
}

/** The same with its sign. */
export const signed = (value, digits = 3) => (value > 0 ? "+" : "") + number(value, digits);

/** The number that a text is, with a point or a comma; null where it is none. */
export function numberIn(text) {
  const value = text.trim() ? Number(text.replace(",", ".")) : NaN;
  return Number.isFinite(value) ? value : null;
}

/** A charge as chemists write it: 3−, 2+, 0. */
export function charge(value) {
  if (value === null || value === undefined) return "unknown";
  if (value === 0) return "0";
  return `${Math.abs(value) === 1 ? "" : Math.abs(value)}${value < 0 ? MINUS : "+"}`;
}

function scientific(value, digits) {
  const [mantissa, exponent] = value.toExponential(Math.max(0, digits - 1)).split("e");
  return `${mantissa.replace("-", MINUS)} × 10${superscript(Number(exponent))}`;
}

/** An exponent in raised digits. */
export const superscript = (power) =>
  String(power)
    .replace("-", "⁻")
    .replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);

/** A formula with lowered digits: Ag₂₉; for options and texts without elements. */
export const formula = (text) => text.replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);

/** A formula as elements: digits after a letter or bracket lowered, a charge at its end raised. */
export function formulaParts(text) {
  const [, body, end] = /^(.*?)((?<=\])\d*[+-])?$/.exec(text);
  const parts = body.split(/((?<=[A-Za-z)\]])\d+)/).map((part, k) => (k % 2 ? make("sub", {}, part) : part));
  return end ? [...parts, make("sup", {}, end.replace("-", MINUS))] : parts;
}

/** Advice about options of the command line, as it is followed on the page. */
export const onPage = (words) =>
  words
    .replace(/: label --orbitals [\w-]+/, ": choose it for the engine")
    .replace(/^set model to [\w-]+, /, "")
    .replaceAll("--charge=", "charge ")
    .replace(/--(?=concentration|path|columns|unit|block)/g, "");

/** "1 atom", "2 atoms". */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** Waits until calls have stopped for so many milliseconds. */
export function afterwards(work, milliseconds) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), milliseconds);
  };
}
