/* Los mandos: cómo está cada pieza, y lo que se le puede hacer. */

import { $, $$, attempt, send, setBadge } from "./dom.js";

const HEALTH = {
  up: ["passed", "en marcha"], down: ["failed", "muerto"], paused: ["failed", "mudo"], busy: ["running", "en ello"],
  reading: ["passed", "leyendo"], stalled: ["failed", "atascada"],
};
// El botón de cada pieza que se rompe y se arregla: qué dice y qué pide, según esté.
const TOGGLES = {
  A: { up: ["kill -9", "POST", "webs/A/kill"], down: ["Levantar", "POST", "webs/A/start"] },
  B: { up: ["kill -9", "POST", "webs/B/kill"], down: ["Levantar", "POST", "webs/B/start"] },
  redis: { up: ["Enmudecer", "POST", "redis/pause"], paused: ["Devolver la voz", "POST", "redis/resume"] },
  reader: { reading: ["Dejar de leer", "PUT", "reader/stalled"], stalled: ["Volver a leer", "PUT", "reader/reading"] },
};
let latest = null;

export function showControls(state) {
  latest = state;
  const parts = { ...state.parts, reader: state.readers[0].stalled ? "stalled" : "reading" };
  for (const [part, health] of Object.entries(parts)) showPart($(`[data-part="${part}"]`), part, health);
  $("#talk").textContent = state.talking ? "Que callen" : "Que hablen";
  $("#talk").setAttribute("aria-pressed", String(state.talking));
  $("#new-id").checked = !state.same_id;
  for (const [name, base] of Object.entries(state.bases)) $(`#enter-${name}`).href = `${base}/`;
  $("#password").textContent = state.password;
}

function showPart(box, part, health) {
  box.dataset.health = health;
  setBadge($(".state", box), ...HEALTH[health]);
  const next = TOGGLES[part]?.[health];
  if (next) $("[data-toggle]", box).textContent = next[0];
}

for (const button of $$("[data-toggle]")) {
  const box = button.closest("[data-part]");
  button.addEventListener("click", () => attempt(button, async () => {
    const next = TOGGLES[box.dataset.part][box.dataset.health];
    if (!next) throw new Error("esa pieza está en ello; espera un momento");
    await send(next[1], next[2]);
  }));
}
for (const button of $$("[data-do]")) {
  button.addEventListener("click", () => attempt(button, () => send("POST", button.dataset.do)));
}
$("#talk").addEventListener("click", ({ target }) => attempt(target, () => send("PUT", `talk/${latest.talking ? "off" : "on"}`)));
$("#reset").addEventListener("click", ({ target }) => attempt(target, () => send("POST", "ledger/reset"), "Empieza otra cuenta."));
$("#new-id").addEventListener("change", ({ target }) =>
  attempt(target, () => send("PUT", `repeat/${target.checked ? "new" : "same"}`)));
