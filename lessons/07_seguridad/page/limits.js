/* Las mismas peticiones contra dos ventanas, dibujadas según pasa el tiempo. */

import { $, onPress, send } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const SPAN = 14; // segundos que se ven
const HEIGHT = 92, BASE = 56, FRAME_MS = 60;
const STEADY_MS = 1000 / 3;
let rule = { limit: 5, seconds: 4 };
let ahead = 0; // lo que el reloj del servidor lleva de ventaja al de la página, en segundos
let knocks = [];

const now = () => performance.now() / 1000 + ahead;

function learn(answer) {
  rule = { limit: answer.limit, seconds: answer.seconds };
  ahead = answer.now - performance.now() / 1000;
  knocks = [...knocks, ...answer.knocks].filter(({ at }) => at > answer.now - 60);
}

function node(tag, attributes, text) {
  const created = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  if (text) created.textContent = text;
  return created;
}

/** El mayor número de peticiones permitidas en cuatro segundos seguidos, de las que se recuerdan. */
function most(kind) {
  const times = knocks.filter((knock) => knock[kind]).map(({ at }) => at);
  return Math.max(0, ...times.map((start) => times.filter((at) => at >= start && at < start + rule.seconds).length));
}

function draw(kind) {
  const svg = $(`#${kind}`), width = Math.max(svg.clientWidth, 200), right = now();
  const x = (at) => width * (1 - (right - at) / SPAN);
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  const start = kind === "fixed" ? Math.floor(right / rule.seconds) * rule.seconds : right - rule.seconds;
  const drawn = [
    node("rect", { class: "frame", x: 0, y: 0, width, height: HEIGHT - 20 }),
    node("rect", { class: "window", x: x(start), y: 0, width: Math.max(width - x(start), 0), height: HEIGHT - 20 }),
    node("line", { class: "base", x1: 0, x2: width, y1: BASE, y2: BASE }),
  ];
  for (let second = Math.ceil(right - SPAN); kind === "fixed" && second <= right; second += 1) {
    if (second % rule.seconds === 0) drawn.push(node("line", { class: "edge", x1: x(second), x2: x(second), y1: 0, y2: HEIGHT - 20 }));
  }
  for (let ago = 0; ago < SPAN; ago += rule.seconds) {
    drawn.push(node("text", { x: width * (1 - ago / SPAN), y: HEIGHT - 5, "text-anchor": ago ? "middle" : "end" }, ago ? `hace ${ago} s` : "ahora"));
  }
  svg.replaceChildren(...drawn, ...marks(kind, x, right));
}

/** Las que caen en el mismo instante se apilan, para que se puedan contar. */
function marks(kind, x, right) {
  const heights = { in: [], out: [] };
  return knocks.filter(({ at }) => at > right - SPAN).map((knock) => {
    const side = knock[kind] ? "in" : "out", place = x(knock.at);
    const level = heights[side].filter((other) => Math.abs(other - knock.at) < 0.15).length;
    heights[side].push(knock.at);
    if (side === "in") return node("circle", { class: "in", cx: place, cy: BASE - 7 - 9 * level, r: 4.5 });
    const y = BASE + 7, shift = place + 5 * level;
    return node("path", { class: "out", d: `M${shift - 3} ${y - 3}l6 6m0 -6l-6 6` });
  });
}

function tell(kind) {
  const count = most(kind), shown = $(`#${kind}-count`);
  const text = `Lo más que ha pasado en ${rule.seconds} s: ${count} de ${rule.limit}`;
  if (shown.textContent !== text) shown.textContent = text;
  shown.classList.toggle("over", count > rule.limit);
}

function frame() {
  for (const kind of ["fixed", "sliding"]) { draw(kind); tell(kind); }
}

const say = (answer) => {
  const passed = (kind) => answer.knocks.filter((knock) => knock[kind]).length;
  const wait = Math.max(...answer.knocks.map(({ retry_after }) => retry_after));
  const later = wait ? ` La deslizante dice que vuelvas dentro de ${wait.toLocaleString("es", { maximumFractionDigits: 1 })} s.` : "";
  return `Pasan ${passed("fixed")} por la fija y ${passed("sliding")} por la deslizante.${later}`;
};

async function knock(times) {
  const answer = await send("POST", `api/windows/knocks?times=${times}`);
  learn(answer);
  return say(answer);
}

export async function openLimits() {
  learn(await send("GET", "api/windows"));
  onPress($("#one"), $("#limits-said"), () => knock(1));
  onPress($("#ten"), $("#limits-said"), () => knock(10));
  onPress($("#edge"), $("#limits-said"), async () => {
    knocks = [];
    const answer = await send("POST", "api/windows/edge");
    learn(answer);
    return say(answer);
  });
  setInterval(() => { if ($("#steady").checked) knock(1).catch(() => {}); }, STEADY_MS);
  setInterval(frame, FRAME_MS);
}
