/* El tablero: en la fila de cada clase, una casilla por tarea, con su estado. */

import { $, call, element } from "./dom.js";
import { KINDS } from "./kinds.js";

const SIGNS = { queued: "·", running: "▸", done: "✓", failed: "!", lost: "✗" };
const WORDS = { queued: "en cola", running: "en marcha", done: "hecha", failed: "fallida", lost: "perdida" };
const PLURALS = { queued: "en cola", running: "en marcha", done: "hechas", failed: "fallidas", lost: "perdidas" };
const tasks = new Map();

export function showAll(list) {
  tasks.clear();
  for (const squares of document.querySelectorAll(".kind .squares")) squares.replaceChildren();
  list.forEach(put);
  Object.keys(KINDS).forEach(count);
}

export function showTask(task) {
  put(task);
  count(task.kind);
}

function put(task) {
  const square = tasks.get(task.id)?.square ?? squareFor(task.kind);
  square.className = `square ${task.status}${task.starts > 1 ? " again" : ""}`;
  square.textContent = SIGNS[task.status];
  const times = task.starts > 1 ? `, empezada ${task.starts} veces` : "";
  square.title = `${task.id}: ${WORDS[task.status]}${task.pid ? `, proceso ${task.pid}` : ""}${times}${task.error ? `, ${task.error}` : ""}`;
  tasks.set(task.id, { ...task, square });
}

function squareFor(kind) {
  const square = element("span", "square");
  $(`#kind-${kind} .squares`).append(square);
  return square;
}

function count(kind) {
  const mine = [...tasks.values()].filter((task) => task.kind === kind);
  const text = mine.length ? totals(mine) : "";
  $(`#kind-${kind} .totals`).textContent = text;
  $(`#kind-${kind} .squares`).setAttribute("aria-label", text || "ninguna tarea");
  summarize();
}

/** «20 aceptadas: 12 hechas, 8 perdidas»: solo lo que hay. */
function totals(list) {
  const parts = Object.keys(WORDS).map((status) => [having(list, status), status]).filter(([many]) => many);
  const accepted = list.length === 1 ? "1 aceptada" : `${list.length} aceptadas`;
  return `${accepted}: ${parts.map(([many, status]) => `${many} ${(many === 1 ? WORDS : PLURALS)[status]}`).join(", ")}`;
}

const having = (list, status) => list.filter((task) => task.status === status).length;

function summarize() {
  const all = [...tasks.values()];
  const inMemory = all.filter((task) => task.kind !== "queue"), inQueue = all.filter((task) => task.kind === "queue");
  if (inMemory.length) $("#in-memory").textContent = `${totals(inMemory)}.`;
  if (!inQueue.length) return;
  const again = inQueue.filter((task) => task.starts > 1).length;
  $("#in-queue").textContent = `${totals(inQueue)}.${again ? ` ${again} empezadas más de una vez: por eso repetirlas no debe cambiar nada.` : ""}`;
}

$("#clear").addEventListener("click", () => call("DELETE", "api/tasks"));
