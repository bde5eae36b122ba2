/* El plano de la arquitectura: cada paso de un viaje enciende su caja, con su número y su tiempo. */

import { ms } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 148, HEIGHT = 58;
const COLUMNS = [4, 166, 328], ROWS = [6, 96, 186, 276];
const BOXES = {
  answer: ["Quien cambia", 0, 0], a: ["API, proceso A", 1, 0], database: ["PostgreSQL", 2, 0],
  mail: ["Correo", 0, 1], publish: ["Pub/Sub", 1, 1], cache: ["Caché", 2, 1],
  b: ["API, proceso B", 1, 2],
  websocket: ["WebSocket", 0, 3], sse: ["SSE", 1, 3], reread: ["Relectura", 2, 3],
};
const WIRES = [["answer", "a"], ["a", "database"], ["a", "mail"], ["a", "publish"], ["a", "cache"], ["publish", "b"],
  ["b", "websocket"], ["b", "sse"], ["b", "reread"], ["cache", "reread"]];
const PROCESSES = ["a", "b"];

export class Diagram {
  #boxes = {};
  #svg;

  constructor(container) {
    this.#svg = node("svg", { viewBox: "0 0 480 340", role: "img", class: "plan" });
    for (const [from, to] of WIRES) this.#svg.append(wire(from, to));
    for (const name of Object.keys(BOXES)) this.#svg.append(this.#box(name));
    container.replaceChildren(this.#svg);
    this.clear();
  }

  clear() {
    for (const { group, time } of Object.values(this.#boxes)) {
      group.classList.remove("lit", "stale");
      time.textContent = "";
    }
    this.#svg.setAttribute("aria-label", "El plano, sin ningún viaje todavía");
  }

  /** Enciende la caja de un paso; `text` dice algo más útil que su tiempo, que está también en la lista. */
  light(step, turn, at, { stale = false, text = "" } = {}) {
    const { group, time } = this.#boxes[step];
    group.classList.add("lit");
    group.classList.toggle("stale", stale);
    time.textContent = `${turn}.º · ${text || ms(at)}`;
  }

  describe(text) {
    this.#svg.setAttribute("aria-label", text);
  }

  #box(name) {
    const [title] = BOXES[name], { x, y } = corner(name);
    const time = node("text", { x: x + WIDTH / 2, y: y + 46, class: "time" });
    const still = PROCESSES.includes(name);
    const group = node("g", { class: still ? "box process" : "box" },
      node("rect", { x, y, width: WIDTH, height: HEIGHT, rx: 6 }),
      node("text", { x: x + WIDTH / 2, y: y + (still ? 35 : 24) }, title), time);
    this.#boxes[name] = { group, time };
    return group;
  }
}

const corner = (name) => ({ x: COLUMNS[BOXES[name][1]], y: ROWS[BOXES[name][2]] });

function wire(from, to) {
  const start = corner(from), end = corner(to);
  const level = start.y === end.y;
  const [x1, y1] = level ? [start.x + WIDTH, start.y + HEIGHT / 2] : [start.x + WIDTH / 2, start.y + HEIGHT];
  const [x2, y2] = level ? [end.x, end.y + HEIGHT / 2] : [end.x + WIDTH / 2, end.y];
  return node("line", { x1, y1, x2, y2, class: "wire" });
}

function node(name, attributes, ...children) {
  const created = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  created.append(...children);
  return created;
}
