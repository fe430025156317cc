// Spectra as one SVG: panels above each other over a common axis, with bands of uncertainty and marks.

import { superscript } from "./dom.js";

export const NM_EV = 1239.84198;
const MARGIN = { left: 46, right: 20, top: 24, bottom: 40 };
const GAP = 30;

/** An energy in eV on the axis, and back. */
const onAxis = (energy, axis) => (axis === "nm" ? NM_EV / energy : energy);

/**
 * The picture of `panels` in `box` ({width, height of each panel}).
 *
 * A panel: {title, unit, signed, curves: [{x, y, colour, dash, width}], bands: [{x, low, high, colour, opacity}],
 * marks: [{x, y, kind, words}], lines: [{x, colour, words}], least: the smallest reach, held: a reach that stays}.  x in eV.  `theme`: {ink, soft, line, card}.
 * `name`: of this picture on the page.  Returns {svg, frames: [{top, height, reach}], left, right, bottom}.
 */
export function picture({ panels, axis, range, width, height, theme, legend = [], name = "plot" }) {
  const rows = legend.length ? legendRows(legend, width - 2 * MARGIN.right) : [];
  const head = MARGIN.top + 20 * rows.length;
  const total = head + panels.length * height + (panels.length - 1) * GAP + MARGIN.bottom;
  const left = MARGIN.left,
    right = width - MARGIN.right;
  const scale = (value) => left + ((value - range[0]) / (range[1] - range[0])) * (right - left);
  const frames = panels.map((panel, k) => ({ ...frameOf(panel, axis, range), top: head + k * (height + GAP), height }));
  const parts = frames.map((frame, k) =>
    drawPanel(panels[k], frame, { scale, axis, left, right, theme, range, id: `${name}-${k}` }),
  );
  const bottom = frames.length ? frames.at(-1).top + height : head;
  const words = axis === "nm" ? "Wavelength / nm" : "Photon energy / eV";
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${total}" viewBox="0 0 ${width} ${total}" ` +
    `font-family="system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif" font-size="12">` +
    drawLegend(rows, theme) +
    parts.join("") +
    xLabels(range, scale, bottom, theme, right - left) +
    text(0.5 * (left + right), bottom + 35, words, { fill: theme.soft, anchor: "middle" }) +
    "</svg>";
  return { svg, frames, left, right, bottom };
}

function frameOf(panel, axis, range) {
  let low = 0,
    high = 0;
  const within = (x) => onAxis(x, axis) >= range[0] && onAxis(x, axis) <= range[1];
  for (const { x, y } of panel.curves) {
    x.forEach((energy, k) => {
      if (y[k] !== null && Number.isFinite(y[k]) && within(energy))
        [low, high] = [Math.min(low, y[k]), Math.max(high, y[k])];
    });
  }
  const size = Math.max(-low, high),
    most = 1.6 * size;
  for (const band of panel.bands.filter(({ counts }) => counts)) {
    band.x.forEach((energy, k) => {
      if (band.low[k] === null || !within(energy)) return;
      [low, high] = [Math.min(low, Math.max(band.low[k], -most)), Math.max(high, Math.min(band.high[k], most))];
    });
  }
  const reach = Math.max(1.06 * Math.max(-low, high), panel.least || 0, panel.held || 0) || 1;
  return { reach, from: panel.signed ? -reach : 0, to: reach };
}

function drawPanel(panel, frame, { scale, axis, left, right, theme, range, id }) {
  const { top, height, from, to } = frame;
  const y = (value) => top + height - ((value - from) / (to - from)) * height;
  const power = powerOf(frame.reach);
  const inside = [
    ...panel.bands.map((band) => bandPath(band, axis, scale, y)),
    ...panel.curves.map((curve) => curvePath(curve, axis, scale, y)),
    ...(panel.lines || []).map((line) => lineOf(line, axis, scale, top, height)),
    ...panel.marks.map((mark) => markOf(mark, axis, scale, y, theme)),
  ];
  const unit = [power ? `10${superscript(power)}` : "", panel.unit].filter(Boolean).join(" ");
  return (
    `<clipPath id="${id}"><rect x="${left}" y="${top - 2}" width="${right - left}" height="${height + 4}"/></clipPath>` +
    text(left, top - 9, panel.title, { fill: theme.ink, weight: 600 }, unit ? ` / ${unit}` : "", theme.soft) +
    yGrid(from, to, power, y, left, right, theme, height) +
    xGrid(range, scale, top, top + height, theme, right - left) +
    `<g clip-path="url(#${id})">${inside.join("")}</g>`
  );
}

function curvePath({ x, y, colour, dash, width = 2, opacity = 1 }, axis, scale, place) {
  let path = "",
    pen = "M";
  x.forEach((energy, k) => {
    if (y[k] === null || !Number.isFinite(y[k]) || energy <= 0) return (pen = "M");
    path += `${pen}${scale(onAxis(energy, axis)).toFixed(1)} ${place(y[k]).toFixed(1)}`;
    pen = "L";
  });
  const style = `stroke="${colour}" stroke-width="${width}" stroke-opacity="${opacity}" fill="none" stroke-linejoin="round"`;
  return path && `<path d="${path}" ${style}${dash ? ` stroke-dasharray="${dash}"` : ""}/>`;
}

function bandPath({ x, low, high, colour, opacity }, axis, scale, place) {
  let run = [],
    path = "";
  const close = () => {
    if (run.length > 1) {
      const point = (k, y) => `${scale(onAxis(x[k], axis)).toFixed(1)} ${place(y).toFixed(1)}`;
      path += `M${run.map((k) => point(k, high[k])).join("L")}L${run
        .reverse()
        .map((k) => point(k, low[k]))
        .join("L")}Z`;
    }
    run = [];
  };
  x.forEach((_, k) => (low[k] === null || x[k] <= 0 ? close() : run.push(k)));
  close();
  return path && `<path d="${path}" fill="${colour}" fill-opacity="${opacity}"/>`;
}

function lineOf({ x, colour, words }, axis, scale, top, height) {
  const at = scale(onAxis(x, axis)).toFixed(1),
    style = `stroke="${colour}" stroke-width="1.5" stroke-dasharray="2 4"`;
  return `<line x1="${at}" x2="${at}" y1="${top}" y2="${top + height}" ${style}><title>${escaped(words)}</title></line>`;
}

function markOf({ x, y, words, kind, colour }, axis, scale, place, theme) {
  const [cx, cy] = [scale(onAxis(x, axis)).toFixed(1), place(y).toFixed(1)];
  const title = `<title>${escaped(words)}</title>`;
  if (kind === "strongest")
    return `<path d="M${cx} ${cy}m0 -5l5 5l-5 5l-5 -5z" fill="${colour}" stroke="${theme.card}">${title}</path>`;
  return `<circle cx="${cx}" cy="${cy}" r="4" fill="${theme.card}" stroke="${colour}" stroke-width="1.5">${title}</circle>`;
}

function yGrid(from, to, power, place, left, right, theme, height) {
  return ticks(from, to, Math.max(2, Math.round(height / 42)))
    .map((value) => {
      const at = place(value).toFixed(1),
        zero = Math.abs(value) < 1e-12 * (to - from);
      const line = `<line x1="${left}" x2="${right}" y1="${at}" y2="${at}" stroke="${zero ? theme.soft : theme.line}" stroke-width="1"/>`;
      return line + text(left - 7, Number(at) + 4, plain(value / 10 ** power), { fill: theme.soft, anchor: "end" });
    })
    .join("");
}

function xGrid(range, scale, top, bottom, theme, width) {
  return ticks(...range, Math.max(4, Math.round(width / 80)))
    .map((value) => {
      const at = scale(value).toFixed(1);
      return `<line x1="${at}" x2="${at}" y1="${top}" y2="${bottom}" stroke="${theme.line}" stroke-width="1" stroke-opacity="0.6"/>`;
    })
    .join("");
}

function xLabels(range, scale, bottom, theme, width) {
  return ticks(...range, Math.max(4, Math.round(width / 80)))
    .map((value) => text(scale(value), bottom + 17, plain(value), { fill: theme.soft, anchor: "middle" }))
    .join("");
}

function legendRows(entries, width) {
  const rows = [[]];
  let used = 0;
  for (const entry of entries) {
    const size = 42 + 6.6 * entry.words.length;
    if (used + size > width && rows.at(-1).length) [used] = [0, rows.push([])];
    rows.at(-1).push({ ...entry, at: MARGIN.right + used });
    used += size;
  }
  return rows;
}

function drawLegend(rows, theme) {
  return rows
    .flatMap((row, k) =>
      row.map(({ at, words, colour, dash }) => {
        const y = 16 + 20 * k;
        return (
          `<line x1="${at}" x2="${at + 22}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="2.5"` +
          `${dash ? ` stroke-dasharray="${dash}"` : ""}/>${text(at + 28, y + 4, words, { fill: theme.ink })}`
        );
      }),
    )
    .join("");
}

/** Round values from `low` to `high`, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count,
    size = 10 ** Math.floor(Math.log10(rough));
  const step = size * ([1, 2, 5, 10].find((factor) => factor * size >= 0.7 * rough) || 10);
  const values = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high * (1 + 1e-12) + 1e-9 * step; k += 1)
    values.push(k * step);
  return values;
}

/** The power of ten that values are divided by, so that labels are short. */
function powerOf(reach) {
  const power = Math.floor(Math.log10(reach));
  return power >= 4 || power < -1 ? power : 0;
}

const plain = (value) => String(Number(value.toPrecision(6))).replace("-", "\u2212");
const escaped = (words) => String(words).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

function text(x, y, words, { fill, anchor = "start", weight = 400 }, more = "", moreFill = fill) {
  const rest = more && `<tspan fill="${moreFill}" font-weight="400">${escaped(more)}</tspan>`;
  return (
    `<text x="${Number(x).toFixed(1)}" y="${Number(y).toFixed(1)}" fill="${fill}" text-anchor="${anchor}" ` +
    `font-weight="${weight}">${escaped(words)}${rest}</text>`
  );
}
