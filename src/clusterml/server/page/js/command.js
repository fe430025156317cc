// "As a command": what a shell or Python is told to get what is shown.

import { isAdvised, modelKey, widthKey } from "./answer.js";
import { byId, fill, make } from "./dom.js";
import { engineKeys, isAsNetwork } from "./engine.js";
import { copy, say } from "./notices.js";
import { addsUp } from "./sliders.js";
import { session, state } from "./store.js";

const SAFE = /^[\w.:/+=,@%-]+$/;
const DEFAULT = { disorder: "major", cluster: 1 };

/** Set the dialog up. */
export function startCommand() {
  byId("command-open").addEventListener("click", () => {
    if (!session.geometry) return say("Choose a structure first.");
    const blocks = [
      ["In a shell", shell()],
      ["In Python", python()],
    ].map(([title, text]) => [
      make("h3", {}, title),
      make("pre", { tabindex: "0" }, make("code", {}, text)),
      make("button", { type: "button", onclick: () => copy(text, "Copied.") }, "Copy"),
    ]);
    fill(
      byId("command"),
      make(
        "form",
        { method: "dialog" },
        make("h2", { id: "command-title" }, "As a command"),
        make("button", { class: "plain close", "aria-label": "Close" }, "✕"),
      ),
      blocks,
    );
    byId("command").showModal();
    return null;
  });
}

const quoted = (word) => (SAFE.test(word) ? String(word) : `'${String(word).replaceAll("'", "'\\''")}'`);

/** What has to be done, one after the other: {verb, options} with the options of the command line. */
function steps() {
  const list = state.exchanges.map(({ old, new: replacement, sites }) => ({
    verb: "substitute",
    file: "exchanged.xyz",
    options: [
      ["from", old],
      ["to", replacement],
      ["sites", sites.join(",")],
    ],
  }));
  for (const { mode, amount, weights } of distortions()) {
    const how = [
      ["mode", mode],
      ["amount", amount],
      ...Object.entries(weights || {}).map(([name, value]) => ["weight", `${name}=${value}`]),
    ];
    if (mode === "normal-mode") how.push(["index", state.index]);
    if (mode === "thermal-noise") how.push(["seed", state.seed]);
    list.push({ verb: "distort", file: "distorted.xyz", options: [...how, ["warn-only"]] });
  }
  return list;
}

/** Modes that add up are one step, a mixture; the others follow. */
function distortions() {
  const moved = Object.entries(state.distortions).filter(([, amount]) => amount);
  const together = moved.filter(([mode]) => addsUp(mode)),
    others = moved.filter(([mode]) => !addsUp(mode));
  const first = together.length > 1 ? [{ mode: "mixture", amount: 1, weights: Object.fromEntries(together) }] : [];
  return [...first, ...[...(first.length ? [] : together), ...others].map(([mode, amount]) => ({ mode, amount }))];
}

function shell() {
  const lines = [],
    { shipped, build, file } = state.source;
  let place = shipped ? `shipped:datasets/structures/${shipped}.xyz` : file?.name;
  if (build) {
    place = `${build.name}.xyz`;
    lines.push(
      line("build", build.name, [...Object.entries(build).filter(([name]) => name !== "name"), ["output", place]]),
    );
  }
  let reading = Object.entries(state.reading).filter(([name, value]) => DEFAULT[name] !== value);
  for (const { verb, file: made, options } of steps()) {
    lines.push(line(verb, place, [...options, ...reading, ["output", made]]));
    [place, reading] = [made, []];
  }
  const charge = state.charge === null ? [] : [["charge", state.charge]];
  const width = Object.entries(widthKey());
  const thermal = state.ensemble ? [["ensemble", state.ensemble]] : [];
  const view = [
    ["axis", state.axis],
    ...(state.range ? [["range", state.range.map((value) => Number(value.toPrecision(4))).join(":")]] : []),
  ];
  const model = Object.entries(modelKey());
  lines.push(
    line("predict", place, [...networkAlone(["engine", "never"]), ...model, ...charge, ...width, ...thermal, ...view, ...reading]),
  );
  if (session.engine && !(isAdvised() && isAsNetwork()))
    lines.push(line("label", place, [...charge, ...Object.entries(engineKeys()), ...reading, ["output", "engine"]]));
  if (session.shares)
    lines.push(
      line("explain", place, [
        ["band", session.shares.band_ev.map((value) => Number(value.toFixed(4))).join("..")],
        ...charge,
        ...Object.entries(session.shares.keys),
        ...reading,
      ]),
    );
  if (session.chirality) lines.push(line("chirality", place, reading));
  if (session.measured) lines.push(comparison(place));
  if (state.bands) lines.push(line("compare", `results/${stemOf(place)}.json`, [], [quoted(`bands:${state.bands}`)]));
  return lines.join("\n");
}

/** What keeps the commands to the network; where the engine is advised, they decide as the page does. */
const networkAlone = (option) => (isAdvised() ? [] : [option]);

const stemOf = (place) => place.replace(/^.*\//, "").replace(/\.[^.]*$/, "");

function comparison(place) {
  const { name, text, ...how } = state.measured;
  const given = Object.entries(how).filter(([, value]) => value !== null && value !== "");
  return line(
    "compare",
    `results/${stemOf(place)}.json`,
    given.map(([key, value]) => [`${key}-b`, value]),
    [quoted(name)],
  );
}

function line(verb, place, options, more = []) {
  const words = options.map(([name, value]) => (value === undefined ? `--${name}` : `--${name} ${quoted(value)}`));
  return ["clusterml", verb, quoted(place), ...more, ...words].join(" ").replace("--output", "-o");
}

const literal = (value) =>
  JSON.stringify(value)
    .replace(/\btrue\b/g, "True")
    .replace(/\bnull\b/g, "None");

function python() {
  const lines = [],
    { shipped, build, file } = state.source;
  const reading = Object.entries(state.reading)
    .filter(([name, value]) => DEFAULT[name] !== value)
    .map(([name, value]) => `${name}=${literal(value)}`);
  if (build) {
    const { name, ...sites } = build;
    lines.push(
      `atoms = cm.build(${[literal(name), ...Object.entries(sites).map(([site, value]) => `${site}=${literal(value)}`)].join(", ")})`,
    );
  } else {
    const place = shipped ? `shipped:datasets/structures/${shipped}.xyz` : file.name;
    lines.push(`atoms = cm.read(${[literal(place), ...reading].join(", ")})`);
  }
  let random = false;
  for (const { old, new: replacement, sites } of state.exchanges) {
    random = true;
    lines.push(
      `atoms = cm.substitute(atoms, ${literal(old)}, ${literal(replacement)}, sites=${literal(sites)}, rng=np.random.default_rng(0))`,
    );
  }
  for (const { mode, amount, weights } of distortions()) {
    const seeded = mode === "thermal-noise";
    random ||= seeded;
    const how = [
      weights && `weights=${literal(weights)}`,
      mode === "normal-mode" && `index=${state.index}`,
      seeded && `rng=np.random.default_rng(${state.seed})`,
      'problems="warn"',
    ].filter(Boolean);
    lines.push(`atoms = cm.distort(atoms, ${literal(mode)}, ${amount}, ${how.join(", ")})`);
  }
  const charge = state.charge === null ? [] : [`charge=${state.charge}`];
  const model = Object.entries(modelKey()).map(([key, value]) => `${key}=${literal(value)}`);
  const width = Object.values(widthKey()).map((value) => `fwhm_ev=${value}`);
  const how = [...charge, ...width, ...networkAlone('engine="never"'), ...model];
  lines.push(`answer = cm.predict(${["atoms", ...how].join(", ")})`);
  lines.push("answer.spectrum.energy_ev, answer.spectrum.epsilon, answer.spectrum.delta_epsilon");
  const heads = random ? ["import numpy as np", "", "import clusterml as cm"] : ["import clusterml as cm"];
  return [...heads, "", ...lines].join("\n");
}
