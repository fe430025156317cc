// The card of the structure: its view, how it is coloured, both hands, the legend, what is under the pointer.

import { byId, counted, fill, make, number } from "./dom.js";
import { byElement, byShare, byShell, diverging } from "./elements.js";
import { sharesWords } from "./shares.js";
import { change, emit, on, session, state } from "./store.js";
import { Viewer } from "./viewer.js";

let viewer, legend;

/** Set the card up. */
export function startScene() {
  viewer = new Viewer(byId("view"), { picked: (marker) => emit("picked", marker), pointed: pointAt });
  byId("colour").addEventListener("change", (event) => {
    change({ colour: event.target.value });
    paint();
    emit("colour");
  });
  byId("hands").addEventListener("change", (event) => {
    change({ hands: event.target.checked });
    paint();
  });
  byId("view-reset").addEventListener("click", () => viewer.reset());
  on("structure", () => {
    viewer.show(session.geometry);
    describe();
    paint();
  });
  on("geometry", () => viewer.move(session.geometry.positions));
  for (const name of ["shares", "moved"]) on(name, () => state.colour === "share" && paint());
  on("markers", (markers) => viewer.mark(markers));
  on("theme", () => viewer.draw());
}

function paint() {
  if (!session.geometry) return;
  const { symbols, parts } = session.geometry;
  byId("colour").value = state.colour;
  byId("hands").checked = state.hands;
  byId("hand-words").hidden = !state.hands;
  viewer.hands = state.hands;
  const shares = state.colour === "share" && session.shares;
  const painted = shares
    ? byShare(shares.per_atom)
    : state.colour === "shell"
      ? byShell(symbols, parts)
      : byElement(symbols);
  viewer.paint(painted.colours, shares ? byShare(shares.per_atom.map((share) => -share)).colours : painted.colours);
  legend = painted.legend;
  const words = state.colour === "share" ? sharesWords() : null;
  fill(byId("view-legend"), shares ? shareLegend(painted.reach, shares.unit) : legend.map(swatch), words);
}

const swatch = ([colour, words]) =>
  make("span", { class: "swatch" }, make("i", { style: `background:${colour}` }), words);

function shareLegend(reach, unit) {
  const steps = Array.from({ length: 9 }, (_, k) => diverging(k / 4 - 1)).join(",");
  return [
    make("span", {}, number(-reach, 2)),
    make("i", { class: "scale", style: `background:linear-gradient(90deg,${steps})` }),
    make("span", {}, `+${number(reach, 2)} ${unit.replace("mol-1", "mol⁻¹").replace("cm-1", "cm⁻¹")}`),
  ];
}

function pointAt(atom) {
  byId("pointed").textContent = atom === null || !session.geometry ? "" : wordsOf(atom);
}

function wordsOf(atom) {
  const { symbols, parts, ligands } = session.geometry;
  const part = Object.keys(parts).find((name) => /^(kernel|shell)/.test(name) && parts[name].includes(atom));
  const ligand = ligands.find(({ atoms }) => atoms.includes(atom));
  const place = part || (ligand && `ligand ${ligand.name || ligand.formula}`);
  const share = session.shares ? `, share ${number(session.shares.per_atom[atom], 2)}` : "";
  return `${symbols[atom]} ${atom + 1}${place ? `, ${place}` : ""}${share}`;
}

/** For those who do not see the picture. */
function describe() {
  const { formula, n_atoms: atoms } = session.inspect;
  const words = `The structure: ${formula}, ${counted(atoms, "atom")}. Arrow keys turn it, plus and minus zoom.`;
  byId("view").setAttribute("aria-label", words);
}
