// Colours and radii of atoms, and the scales that atoms are coloured by; all of them are told apart by colour-blind readers
// with the help of the legend, which also names what is under the pointer.

const ELEMENTS = {
  H: ["#e8e8e8", 0.31],
  B: ["#ffb5b5", 0.84],
  C: ["#6b6f76", 0.76],
  N: ["#3050f8", 0.71],
  O: ["#d55e00", 0.66],
  F: ["#7fd6a2", 0.57],
  Na: ["#ab5cf2", 1.66],
  Al: ["#bfa6a6", 1.21],
  Si: ["#c9a76b", 1.11],
  P: ["#cc79a7", 1.07],
  S: ["#f2cf2e", 1.05],
  Cl: ["#2aa876", 1.02],
  Fe: ["#e06633", 1.32],
  Ni: ["#50d050", 1.24],
  Cu: ["#c88033", 1.32],
  Se: ["#e69f00", 1.2],
  Br: ["#a62929", 1.2],
  Pd: ["#3a8ca0", 1.39],
  Ag: ["#b4bac6", 1.45],
  I: ["#940094", 1.39],
  Pt: ["#9da3b5", 1.36],
  Au: ["#b8860b", 1.36],
};
const OTHER = ["#b08cc0", 1.3];
const METALS = new Set(["Ag", "Au", "Cu", "Pd", "Pt", "Ni", "Fe", "Na", "Al"]);
/** Okabe and Ito's colours, the kernel first. */
const SHELLS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"];
const REST = "#a9b0b8";

const elementColour = (symbol) => (ELEMENTS[symbol] || OTHER)[0];

/** The radius in A that an atom is drawn with. */
export const radius = (symbol) => (ELEMENTS[symbol] || OTHER)[1] * (METALS.has(symbol) ? 0.62 : 0.42);

/** Colours of all atoms by element, and the legend. */
export function byElement(symbols) {
  const kinds = [...new Set(symbols)];
  const rank = (symbol) => (METALS.has(symbol) ? 0 : symbol === "H" ? 2 : 1);
  kinds.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  return { colours: symbols.map(elementColour), legend: kinds.map((symbol) => [elementColour(symbol), symbol]) };
}

/** Colours by kernel, shells and ligands; `parts`: name -> atoms. */
export function byShell(symbols, parts) {
  const colours = symbols.map(() => REST),
    legend = [];
  const metals = Object.keys(parts).filter((name) => /^(kernel|shell)/.test(name));
  metals.forEach((name, place) => {
    const colour = SHELLS[place % SHELLS.length];
    for (const atom of parts[name]) colours[atom] = colour;
    legend.push([colour, `${name} (${parts[name].length})`]);
  });
  return { colours, legend: [...legend, [REST, "ligands"]] };
}

/** Smaller shares are rounding: an achiral cluster stays grey. */
export const LEAST_REACH = 1e-3;

/** Colours from blue (negative) over grey to orange (positive). */
export function byShare(values) {
  const reach = Math.max(...values.map(Math.abs), LEAST_REACH);
  return { colours: values.map((value) => diverging(value / reach)), reach };
}

/** The colour of a share from -1 to 1. */
export function diverging(share) {
  const end = share < 0 ? [0, 92, 171] : [213, 94, 0],
    middle = [205, 208, 212],
    size = Math.min(1, Math.abs(share)) ** 0.7;
  return `#${middle
    .map((value, k) =>
      Math.round(value + (end[k] - value) * size)
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;
}
