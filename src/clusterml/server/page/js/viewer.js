// The structure in three dimensions: shaded discs and sticks on a canvas, sorted by depth and fading into it.
// x is to the right, y up, z towards the reader, so that what is right-handed looks right-handed.

import { radius } from "./elements.js";

const FOG = 8; // steps of fading
const FAR = 5; // of the eye, in radii of the cluster
const SPRITE = 96; // pixels of a disc
const STICK = 0.14; // radius of a bond in A
const START = [0.82, -0.22, 0.53, 0.14, 0.97, 0.19, -0.56, -0.08, 0.83];

/** A view of a geometry on a canvas. */
export class Viewer {
  /** `picked(marker)`: a marker was chosen; `pointed(atom or null)`: what is under the pointer. */
  constructor(canvas, { picked = () => {}, pointed = () => {} } = {}) {
    Object.assign(this, { canvas, picked, pointed, turn: START, zoom: 1, hands: false, markers: [], hues: [[], []] });
    this.symbols = [];
    this.sprites = new Map();
    this.pointers = new Map();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Show another structure. */
  show({ symbols, positions, bonds }) {
    this.symbols = symbols;
    this.bonds = bonds;
    this.radii = symbols.map(radius);
    this.centre = [0, 1, 2].map((k) => positions.reduce((sum, point) => sum + point[k], 0) / positions.length);
    this.move(positions);
    const far = this.points.map(([x, y, z], k) => Math.hypot(x, y, z) + this.radii[k]);
    this.reach = Math.max(...far, 1);
    this.draw();
  }

  /** The same structure with other positions. */
  move(positions) {
    const [a, b, c] = this.centre;
    this.points = positions.map(([x, y, z]) => [x - a, y - b, z - c]);
    this.draw();
  }

  /** Colour the atoms; those of the mirror image may have other colours. */
  paint(colours, mirrored = colours) {
    this.hues = [colours, mirrored];
    this.draw();
  }

  /** Numbered marks: {position, label, chosen}. */
  mark(markers) {
    this.markers = markers;
    this.draw();
  }

  /** Draw with the next frame of the screen. */
  draw() {
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      this.paintNow();
    });
  }

  paintNow() {
    const { canvas } = this,
      ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio),
      height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    if (!this.symbols.length || !width) return;
    const { backgroundColor, borderTopColor } = getComputedStyle(canvas);
    this.behind = backgroundColor
      .match(/[\d.]+/g)
      .slice(0, 3)
      .map(Number);
    const panes = this.hands
      ? [
          [0, 1],
          [width / 2, -1],
        ]
      : [[0, 1]];
    this.panes = panes.map(([left, hand]) => this.paintHand(pen, left, width / panes.length, height, hand, ratio));
    if (this.hands) mirrorLine(pen, width, height, borderTopColor);
  }

  paintHand(pen, left, width, height, hand, ratio) {
    const unit = (0.47 * Math.min(width, height) * this.zoom) / this.reach;
    this.colours = this.hues[hand > 0 ? 0 : 1];
    const project = (point) => this.project(point, left + width / 2, height / 2, unit, hand);
    const seen = this.points.map((point, k) => ({ ...project(point), size: this.radii[k] }));
    const items = seen.map(({ z }, atom) => [z, atom, -1]);
    for (const [i, j] of this.bonds) {
      items.push([0.75 * seen[i].z + 0.25 * seen[j].z, i, j], [0.25 * seen[i].z + 0.75 * seen[j].z, j, i]);
    }
    items.sort((a, b) => a[0] - b[0]);
    pen.save();
    pen.beginPath();
    pen.rect(left, 0, width, height);
    pen.clip();
    pen.lineCap = "butt";
    for (const [z, i, j] of items) {
      if (j < 0) this.paintAtom(pen, seen[i], i, z);
      else this.paintStick(pen, seen[i], seen[j], i, z, unit);
    }
    const marks = hand > 0 ? this.paintMarkers(pen, project, ratio) : [];
    pen.restore();
    return { seen, marks, left, width };
  }

  project([x, y, z], centreX, centreY, unit, hand) {
    const t = this.turn,
      depth = t[6] * x + t[7] * y + t[8] * z;
    const near = (FAR * this.reach) / (FAR * this.reach - depth);
    const across = hand * (t[0] * x + t[1] * y + t[2] * z),
      up = t[3] * x + t[4] * y + t[5] * z;
    return { x: centreX + unit * near * across, y: centreY - unit * near * up, z: depth, scale: unit * near };
  }

  paintAtom(pen, at, atom, z) {
    const size = at.size * at.scale;
    pen.drawImage(
      this.sprite(this.colours[atom] || "#b4bac6", this.fog(z)),
      at.x - size,
      at.y - size,
      2 * size,
      2 * size,
    );
  }

  paintStick(pen, at, other, atom, z, unit) {
    const apart = Math.hypot(at.x - other.x, at.y - other.y, unit * (at.z - other.z)) || 1;
    const from = Math.min(0.5, (0.85 * at.size * at.scale) / apart); // not over the disc of an atom behind its bond
    const x = at.x + from * (other.x - at.x),
      y = at.y + from * (other.y - at.y);
    const colour = channels(this.colours[atom] || "#b4bac6");
    for (const [shade, share] of [
      [-0.35, 1],
      [0.05, 0.55],
    ]) {
      pen.strokeStyle = css(mix(shaded(colour, shade), this.behind, (0.62 * this.fog(z)) / FOG));
      pen.lineWidth = 2 * STICK * at.scale * share;
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(0.5 * (at.x + other.x), 0.5 * (at.y + other.y));
      pen.stroke();
    }
  }

  paintMarkers(pen, project, ratio) {
    const size = 9.5 * ratio;
    const marks = this.markers.map((marker) => {
      const place = marker.position.map((value, k) => value - this.centre[k]);
      return { marker, ...project(place) };
    });
    marks.sort((a, b) => a.z - b.z);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.font = `600 ${Math.round(10.5 * ratio)}px system-ui, sans-serif`;
    for (const { marker, x, y, z } of marks) {
      pen.globalAlpha = z < -0.15 * this.reach ? 0.45 : 1;
      pen.beginPath();
      pen.arc(x, y, size, 0, 2 * Math.PI);
      pen.fillStyle = marker.chosen ? "#bd5300" : "#ffffff";
      pen.fill();
      pen.lineWidth = 1.5 * ratio;
      pen.strokeStyle = marker.chosen ? "#7a3600" : "#1d2329";
      pen.stroke();
      pen.fillStyle = marker.chosen ? "#ffffff" : "#1d2329";
      pen.fillText(marker.label, x, y + 0.5 * ratio);
    }
    pen.globalAlpha = 1;
    return marks;
  }

  fog(z) {
    return Math.max(0, Math.min(FOG - 1, Math.floor((FOG * (this.reach - z)) / (2 * this.reach))));
  }

  sprite(colour, fog) {
    const key = `${colour} ${fog} ${this.behind}`;
    if (!this.sprites.has(key)) {
      if (this.sprites.size > 2000) this.sprites.clear();
      this.sprites.set(key, disc(channels(colour), this.behind, (0.62 * fog) / FOG));
    }
    return this.sprites.get(key);
  }

  /** Turn by so many radians about the screen's axes. */
  rotate(right, down) {
    this.turn = product(about("x", down), product(about("y", right), this.turn));
    this.draw();
  }

  /** Come nearer by a factor. */
  approach(factor) {
    this.zoom = Math.max(0.4, Math.min(6, this.zoom * factor));
    this.draw();
  }

  /** As it was at the beginning. */
  reset() {
    this.turn = START;
    this.zoom = 1;
    this.draw();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.release(event));
    canvas.addEventListener("pointerleave", () => this.pointed(null));
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (document.activeElement !== canvas && !event.ctrlKey) return; // the page scrolls
        event.preventDefault();
        this.approach(Math.exp(-0.0015 * event.deltaY));
      },
      { passive: false },
    );
  }

  press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.moved = 0;
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return this.pointed(this.atomAt(event));
    const apart = this.spread();
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    const right = event.clientX - before[0],
      down = event.clientY - before[1];
    this.moved += Math.abs(right) + Math.abs(down);
    if (this.pointers.size > 1) this.approach(this.spread() / apart || 1);
    else this.rotate(0.01 * right * this.handAt(event), 0.01 * down);
  }

  release(event) {
    const pressed = this.pointers.delete(event.pointerId);
    if (!pressed || this.moved > 6 || event.type !== "pointerup") return;
    const marker = this.markerAt(event);
    if (marker) this.picked(marker);
    else this.pointed(this.atomAt(event));
  }

  spread() {
    const [a, b] = [...this.pointers.values()];
    return b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 1;
  }

  key(event) {
    const step = 0.12;
    const moves = {
      ArrowLeft: () => this.rotate(-step, 0),
      ArrowRight: () => this.rotate(step, 0),
      ArrowUp: () => this.rotate(0, -step),
      ArrowDown: () => this.rotate(0, step),
      "+": () => this.approach(1.15),
      "=": () => this.approach(1.15),
      "-": () => this.approach(1 / 1.15),
      Home: () => this.reset(),
      0: () => this.reset(),
    };
    if (!moves[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    moves[event.key]();
  }

  place(event) {
    const ratio = window.devicePixelRatio || 1,
      box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  handAt(event) {
    return this.hands && this.place(event)[0] > this.canvas.width / 2 ? -1 : 1;
  }

  atomAt(event) {
    const [x, y] = this.place(event);
    const pane = (this.panes || []).find(({ left, width }) => x >= left && x < left + width);
    let nearest = null;
    pane?.seen.forEach((at, atom) => {
      if (Math.hypot(at.x - x, at.y - y) < at.size * at.scale && (!nearest || at.z > nearest.z))
        nearest = { atom, z: at.z };
    });
    return nearest && nearest.atom;
  }

  markerAt(event) {
    const [x, y] = this.place(event),
      reach = 13 * (window.devicePixelRatio || 1);
    const hits = (this.panes || [])
      .flatMap(({ marks }) => marks)
      .filter((mark) => Math.hypot(mark.x - x, mark.y - y) < reach);
    return hits.sort((a, b) => b.z - a.z)[0]?.marker;
  }
}

function mirrorLine(pen, width, height, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = Math.max(1, window.devicePixelRatio || 1);
  pen.setLineDash([6, 6]);
  pen.beginPath();
  pen.moveTo(width / 2, 0);
  pen.lineTo(width / 2, height);
  pen.stroke();
  pen.setLineDash([]);
}

function disc(colour, behind, faded) {
  const picture = document.createElement("canvas"),
    half = SPRITE / 2;
  picture.width = picture.height = SPRITE;
  const pen = picture.getContext("2d");
  const shade = pen.createRadialGradient(0.74 * half, 0.66 * half, 0.06 * half, half, half, half - 1);
  for (const [place, light] of [
    [0, 0.7],
    [0.4, 0.06],
    [0.85, -0.22],
    [0.97, -0.5],
    [1, -0.6],
  ]) {
    shade.addColorStop(place, css(mix(shaded(colour, light), behind, faded)));
  }
  pen.fillStyle = shade;
  pen.beginPath();
  pen.arc(half, half, half - 1, 0, 2 * Math.PI);
  pen.fill();
  return picture;
}

const channels = (hex) => [1, 3, 5].map((k) => parseInt(hex.trim().slice(k, k + 2), 16) || 0);
const mix = (colour, other, share) => colour.map((value, k) => value + (other[k] - value) * share);
const shaded = (colour, light) => mix(colour, light > 0 ? [255, 255, 255] : [0, 0, 0], Math.abs(light));
const css = (colour) => `rgb(${colour.map(Math.round).join(",")})`;

function about(axis, angle) {
  const c = Math.cos(angle),
    s = Math.sin(angle);
  return axis === "x" ? [1, 0, 0, 0, c, -s, 0, s, c] : [c, 0, s, 0, 1, 0, -s, 0, c];
}

function product(a, b) {
  return Array.from({ length: 9 }, (_, k) => {
    const row = 3 * Math.floor(k / 3),
      column = k % 3;
    return a[row] * b[column] + a[row + 1] * b[3 + column] + a[row + 2] * b[6 + column];
  });
}
