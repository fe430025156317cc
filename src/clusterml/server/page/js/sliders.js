// Live distortion: a slider for each mode that the cluster has; geometry and spectra follow.

import { get } from "./api.js";
import { byId, fill, make, number, numberIn, signed } from "./dom.js";
import { during, say } from "./notices.js";
import { change, emit, on, session, state } from "./store.js";
import { follow, isDistorted, settleAnew } from "./structure.js";

const UNITS = { deg: "°", A: " Å", "%": " %", fraction: "" };
const SPANS = { "thermal-noise": 0.3, "normal-mode": 1.0 }; // where nothing is typical
const LEFT_OUT = ["mixture"]; // the sliders together are one
let modes = new Map(),
  swinging = null;

/** Set the panel up. */
export async function startSliders() {
  byId("modes-reset").addEventListener("click", () => setAll(() => 0));
  byId("modes-mirror").addEventListener("click", () => setAll((amount) => -amount));
  on("modes", build);
  on("source", stopSwinging);
  const list = (await during("Starting", () => get("v1/modes"))) || [];
  modes = new Map(list.map((mode) => [mode.name, mode]));
  if (session.modes) build();
}

/** Do amounts of this mode add up with those of others, whatever their order? */
export const addsUp = (name) => modes.get(name)?.adds_up ?? false;

function build() {
  const names = (session.modes || []).filter((name) => !LEFT_OUT.includes(name) && modes.has(name));
  const shown = [...byId("modes").children].map((row) => row.dataset.mode);
  if (names.join() !== shown.join()) fill(byId("modes"), names.map(row));
  names.forEach(write);
}

function row(name) {
  const mode = modes.get(name),
    span = spanOf(mode),
    id = `mode-${name}`;
  const input = make("input", {
    type: "range",
    id,
    min: -span,
    max: span,
    step: stepOf(span),
    value: 0,
    "aria-describedby": "mode-help",
    oninput: (event) => set(name, Number(event.target.value)),
    onpointerdown: hold,
    ondblclick: () => set(name, 0),
  });
  const swing = make(
    "button",
    {
      type: "button",
      class: "plain",
      title: "Swing to and fro",
      "aria-label": `Swing ${words(name)}`,
      onclick: () => toggleSwing(name),
    },
    "▶",
  );
  const explain = () => {
    byId("mode-help").textContent = `${words(name)}: ${mode.meaning}; ${mode.sign}.`;
  };
  return make(
    "div",
    { class: "mode", "data-mode": name, onpointerenter: explain, onfocusin: explain },
    make("label", { for: id }, words(name)),
    make("output", { for: id }),
    swing,
    input,
    MORE[name]?.(),
  );
}

/** What decides a mode besides its amount. */
const MORE = {
  "normal-mode": () => {
    const onchange = (event) => choose("index", numberIn(event.target.value), 1);
    const field = make("input", { type: "number", min: 1, step: 1, id: "mode-index", onchange });
    return make("label", { class: "inline more" }, "Which one, from the softest", field);
  },
  "thermal-noise": () => {
    const onclick = () => choose("seed", state.seed + 1, 0);
    return make("p", { class: "more" }, make("button", { type: "button", id: "mode-seed", onclick }, "Another draw"));
  },
};

function choose(key, value, least) {
  if (!Number.isInteger(value) || value < least) return say(`This is a whole number from ${least}.`);
  change({ [key]: value, job: null });
  return follow();
}

/** While a slider is held it may move on: what takes long begins when it is released. */
function hold() {
  session.isHeld = true;
  const ends = ["pointerup", "pointercancel"];
  const release = () => {
    ends.forEach((name) => window.removeEventListener(name, release));
    session.isHeld = false;
    emit("released");
  };
  ends.forEach((name) => window.addEventListener(name, release));
}

/** A round step, of which there are about a hundred to each side. */
function stepOf(span) {
  const most = span / 75,
    power = 10 ** Math.floor(Math.log10(most));
  return power * [5, 2, 1].find((factor) => factor * power <= most);
}

const words = (name) =>
  name === "td-to-t" ? "Td to T path" : name[0].toUpperCase() + name.slice(1).replaceAll("-", " ");

const spanOf = ({ name, typical, high }) => SPANS[name] ?? Math.min(high, 5 * typical);

function write(name) {
  const line = document.querySelector(`.mode[data-mode="${name}"]`),
    amount = state.distortions[name] || 0;
  const input = line.querySelector("input[type=range]"),
    unit = UNITS[modes.get(name).unit] ?? "";
  input.value = amount;
  if (name === "normal-mode") byId("mode-index").value = state.index;
  line.classList.toggle("moved", amount !== 0);
  line.querySelector("output").textContent = amount ? signed(Number(amount.toPrecision(3))) + unit : `0${unit}`;
  input.setAttribute("aria-valuetext", `${number(amount)}${unit}`);
}

function set(name, amount) {
  const rounded = Number(amount.toPrecision(6));
  change({ distortions: { ...state.distortions, [name]: rounded }, job: null });
  write(name);
  follow();
}

function setAll(amountOf) {
  stopSwinging();
  if (!isDistorted()) return;
  const pairs = Object.entries(state.distortions).map(([name, amount]) => [name, amountOf(amount) || 0]);
  change({ distortions: Object.fromEntries(pairs), job: null });
  session.modes.filter((name) => modes.has(name) && !LEFT_OUT.includes(name)).forEach(write);
  settleAnew();
}

function toggleSwing(name) {
  const before = swinging?.name;
  stopSwinging();
  if (before === name) return;
  const span = spanOf(modes.get(name)) / 2,
    start = performance.now();
  const from = Math.asin(Math.max(-1, Math.min(1, (state.distortions[name] || 0) / span)));
  swinging = { name };
  document.querySelector(`.mode[data-mode="${name}"] button`).textContent = "❚❚";
  const step = (now) => {
    if (swinging?.name !== name) return;
    set(name, span * Math.sin(from + ((now - start) / 4000) * 2 * Math.PI));
    swinging.frame = requestAnimationFrame(step);
  };
  step(start);
}

function stopSwinging() {
  if (!swinging) return;
  cancelAnimationFrame(swinging.frame);
  const button = document.querySelector(`.mode[data-mode="${swinging.name}"] button`);
  if (button) button.textContent = "▶";
  swinging = null;
}
