/* Diagrama de secuencia de una transcripción, y la misma historia en una lista. */

import { el, svg } from "./dom.js";

const COLUMN = { least: 168, most: 340 };
const LEFT = 66;
const HEAD = 44;
const ROW = 40;
const LINE = 14;
const CHARACTER = 7;
const NARRATOR = "control";

/** `room` es el ancho que hay; si el diagrama no cabe, se desplaza. */
export function story(entries, room) {
  const list = el("ol", { class: "log story-list", tabindex: "0", "aria-label": "Lo que pasó, en orden" }, ...entries.map(line));
  return [
    el("div", { class: "sequence", tabindex: "0", role: "group", "aria-label": "Diagrama de secuencia; la lista que sigue dice lo mismo" }, diagram(entries, room)),
    el("details", { class: "as-list", "data-key": "list" }, el("summary", {}, "Lo mismo, en una lista"), list),
  ];
}

function line(entry) {
  const route = entry.from === entry.to ? entry.from : `${entry.from} → ${entry.to}`;
  const kind = entry.from === entry.to ? "event" : entry.to === "app" ? "up" : "down";
  return el("li", { class: kind }, el("span", { class: "soft mono when" }, when(entry.t)), " ", el("strong", {}, route), " ", el("span", { class: "mono" }, entry.text));
}

function when(seconds) {
  return `${(seconds * 1000).toLocaleString("es", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} ms`;
}

function diagram(entries, room) {
  const people = participants(entries);
  const fitting = (room - LEFT - 8) / Math.max(people.length, 1);
  const column = Math.min(COLUMN.most, Math.max(COLUMN.least, fitting));
  const x = new Map(people.map((name, index) => [name, LEFT + column * (index + 0.5)]));
  const width = LEFT + column * Math.max(people.length, 1);
  const rows = [];
  let y = HEAD;
  for (const entry of entries) {
    const drawn = row(entry, y, x, width);
    rows.push(drawn.group);
    y += drawn.height;
  }
  const height = y + 16;
  const lifelines = people.map((name) => svg("line", { class: "lifeline", x1: x.get(name), x2: x.get(name), y1: HEAD - 8, y2: height - 4 }));
  const heads = people.map((name) => head(name, x.get(name)));
  return svg("svg", { "aria-hidden": "true", width, height, viewBox: `0 0 ${width} ${height}` }, ...lifelines, ...heads, ...rows);
}

function participants(entries) {
  const callers = new Set();
  const answerers = new Set();
  for (const { from, to } of entries) {
    if (from === to && from === NARRATOR) continue;
    if (!answerers.has(from)) callers.add(from);
    if (!callers.has(to)) answerers.add(to);
  }
  // Quien empieza queda a la izquierda; quien contesta, y lo que hay detrás de él, a la derecha.
  return [...callers, ...answerers];
}

function head(name, x) {
  const width = Math.min(COLUMN.least - 10, name.length * 8.5 + 28);
  return svg("g", { class: "participant" },
    svg("rect", { x: x - width / 2, y: 4, width, height: 28, rx: 5 }),
    svg("text", { x, y: 23, "text-anchor": "middle" }, shortened(name, COLUMN.least - 34)));
}

/** Una fila y lo que ocupa: el texto que no cabe en un renglón sigue en otro. */
function row(entry, top, x, width) {
  const draw = entry.from === entry.to ? note : arrow;
  const { parts, lines } = draw(entry, top, x, width);
  const height = ROW + LINE * (lines - 1);
  const time = svg("text", { class: "time", x: LEFT - 8, y: top + height - 6, "text-anchor": "end" }, when(entry.t));
  const title = svg("title", {}, `${when(entry.t)} · ${entry.text}`);
  return { height, group: svg("g", { class: `step ${entry.kind}` }, title, time, ...parts) };
}

function arrow(entry, top, x) {
  const [from, to] = [x.get(entry.from), x.get(entry.to)];
  const toward = Math.sign(to - from);
  const lines = wrapped(entry.text, Math.abs(to - from) - 22);
  const y = top + ROW - 10 + LINE * (lines.length - 1);
  return {
    lines: lines.length,
    parts: [
      svg("line", { class: "arrow", x1: from, x2: to - toward * 7, y1: y, y2: y }),
      svg("path", { class: "tip", d: `M${to} ${y}l${-toward * 9} -4.5v9z` }),
      ...message(lines, (from + to) / 2, y - 7),
    ],
  };
}

function note(entry, top, x, width) {
  const center = x.get(entry.from);
  const [left, right] = center === undefined ? [LEFT + 6, width - 6] : noteSpan(center, entry.text, width);
  const lines = wrapped(entry.text, right - left - 16);
  const bottom = top + ROW - 4 + LINE * (lines.length - 1);
  return {
    lines: lines.length,
    parts: [
      svg("rect", { class: "note", x: left, y: top + 8, width: right - left, height: bottom - top - 8, rx: 3 }),
      ...message(lines, (left + right) / 2, bottom - 10),
    ],
  };
}

/** Los renglones, centrados, con el último en `y`. */
function message(lines, x, y) {
  return lines.map((text, index) =>
    svg("text", { class: "message", x, y: y - LINE * (lines.length - 1 - index), "text-anchor": "middle" }, text));
}

function noteSpan(center, text, width) {
  const half = Math.min(text.length * CHARACTER + 20, width - LEFT - 12) / 2;
  const shift = Math.min(0, width - 6 - (center + half)) + Math.max(0, LEFT + 6 - (center - half));
  return [center - half + shift, center + half + shift];
}

function wrapped(text, room) {
  const limit = Math.max(4, Math.floor(room / CHARACTER));
  if (text.length <= limit) return [text];
  const space = text.lastIndexOf(" ", limit);
  const cut = space > limit / 2 ? space : limit;
  return [text.slice(0, cut), shortened(text.slice(cut).trim(), room)];
}

function shortened(text, room) {
  const limit = Math.max(4, Math.floor(room / CHARACTER));
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}
