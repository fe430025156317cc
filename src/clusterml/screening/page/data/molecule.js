"use strict";
// Views of molecules: atoms as shaded discs sorted by depth, x to the right, y up, z towards the viewer, so that what is
// right-handed looks right-handed.  Dragging and arrow keys turn; two fingers, plus and minus zoom, and the wheel where the
// view has the focus, else the page scrolls; a double click and Home go back; data: see markup.py.
const FOG = 6, FAR = 4.5;
const sprites = new Map();

function blend(hex, other, share) {
  const parts = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
  return "#" + parts.map((v) => Math.round(v + (other - v) * share).toString(16).padStart(2, "0")).join("");
}

function sprite(colour, fog) {
  const key = colour + fog;
  if (!sprites.has(key)) {
    const disc = document.createElement("canvas");
    disc.width = disc.height = 64;
    const pen = disc.getContext("2d");
    const faded = (other, share) => blend(blend(colour, other, share), 255, 0.6 * fog / FOG);
    const shade = pen.createRadialGradient(24, 22, 3, 32, 32, 31);
    shade.addColorStop(0, faded(255, 0.65));
    shade.addColorStop(0.45, faded(255, 0.0));
    shade.addColorStop(0.93, faded(0, 0.32));
    shade.addColorStop(1, faded(0, 0.6));
    pen.fillStyle = shade;
    pen.beginPath();
    pen.arc(32, 32, 31, 0, 2 * Math.PI);
    pen.fill();
    sprites.set(key, disc);
  }
  return sprites.get(key);
}

function view(box, data) {
  const canvas = box.querySelector("canvas"), tip = box.querySelector(".tip"), choice = box.querySelector("select");
  const help = tip.textContent;
  const pen = canvas.getContext("2d"), count = data.radii.length;
  const start = [1, 0, 0, 0, 1, 0, 0, 0, 1];
  let turn = start, zoom = 1, colours = Object.keys(data.colours)[0], seen = [];

  const rotated = (axis, angle) => {
    const c = Math.cos(angle), s = Math.sin(angle);
    const by = axis === "x" ? [1, 0, 0, 0, c, -s, 0, s, c] : [c, 0, s, 0, 1, 0, -s, 0, c];
    return Array.from({ length: 9 }, (_, k) => {
      const row = 3 * Math.floor(k / 3), column = k % 3;
      return by[row] * turn[column] + by[row + 1] * turn[3 + column] + by[row + 2] * turn[6 + column];
    });
  };

  function place() {
    const half = 0.5 * Math.min(canvas.width, canvas.height) / data.reach * 0.94 * zoom, far = FAR * data.reach;
    seen = Array.from({ length: count }, (_, k) => {
      const [x, y, z] = data.positions.slice(3 * k, 3 * k + 3);
      const depth = turn[6] * x + turn[7] * y + turn[8] * z, near = far / (far - depth);
      return {
        x: 0.5 * canvas.width + half * near * (turn[0] * x + turn[1] * y + turn[2] * z),
        y: 0.5 * canvas.height - half * near * (turn[3] * x + turn[4] * y + turn[5] * z),
        z: depth, size: half * near * data.radii[k], atom: k,
      };
    });
    return half;
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const half = place(), palette = data.colours[colours];
    const fogOf = (z) => Math.max(0, Math.min(FOG - 1, Math.floor(FOG * (data.reach - z) / (2 * data.reach))));
    const items = seen.map((one) => [one.z, one.atom, -1]);
    for (let k = 0; k < data.bonds.length; k += 2) {
      const [i, j] = [data.bonds[k], data.bonds[k + 1]];
      items.push([0.75 * seen[i].z + 0.25 * seen[j].z, i, j], [0.25 * seen[i].z + 0.75 * seen[j].z, j, i]);
    }
    items.sort((a, b) => a[0] - b[0]);
    for (const [z, i, j] of items) {
      const one = seen[i], fog = fogOf(z);
      if (j < 0) {
        pen.drawImage(sprite(palette[i], fog), one.x - one.size, one.y - one.size, 2 * one.size, 2 * one.size);
      } else {
        pen.strokeStyle = blend(blend(palette[i], 0, 0.2), 255, 0.6 * fog / FOG);
        pen.lineWidth = 0.16 * half;
        pen.beginPath();
        const other = seen[j], apart = Math.hypot(one.x - other.x, one.y - other.y, half * (one.z - other.z));
        const from = Math.min(0.5, 0.8 * one.size / apart);  // not over the disc of an atom behind its bond
        pen.moveTo(one.x + from * (other.x - one.x), one.y + from * (other.y - one.y));
        pen.lineTo(0.5 * (one.x + other.x), 0.5 * (one.y + other.y));
        pen.stroke();
      }
    }
  }

  function name(event) {
    const ratio = window.devicePixelRatio || 1, x = event.offsetX * ratio, y = event.offsetY * ratio;
    const hit = seen.filter((one) => Math.hypot(one.x - x, one.y - y) < one.size).sort((a, b) => b.z - a.z)[0];
    tip.textContent = hit ? data.labels[hit.atom] : help;
  }

  const rotate = (right, down) => {
    turn = rotated("y", right);
    turn = rotated("x", down);
    draw();
  };
  const approach = (factor) => {
    zoom = Math.max(0.3, Math.min(8, zoom * factor));
    draw();
  };
  const reset = () => { turn = start; zoom = 1; draw(); };
  const step = 0.12, pointers = new Map();
  const keys = {
    ArrowLeft: () => rotate(-step, 0), ArrowRight: () => rotate(step, 0),
    ArrowUp: () => rotate(0, -step), ArrowDown: () => rotate(0, step),
    "+": () => approach(1.15), "=": () => approach(1.15), "-": () => approach(1 / 1.15), Home: reset, 0: reset,
  };
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 1;
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return name(event);
    const apart = spread();
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (pointers.size > 1) approach(spread() / apart || 1);
    else rotate(0.01 * (event.clientX - before[0]), 0.01 * (event.clientY - before[1]));
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey) return;  // the page scrolls
    event.preventDefault();
    approach(Math.exp(-0.0015 * event.deltaY));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  canvas.addEventListener("dblclick", reset);
  if (choice) choice.addEventListener("change", () => { colours = choice.value; draw(); });
  window.addEventListener("resize", draw);
  draw();
}

for (const box of document.querySelectorAll(".view")) {
  view(box, JSON.parse(document.getElementById(box.dataset.of).textContent));
}
