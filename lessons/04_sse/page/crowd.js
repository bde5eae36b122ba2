/* Seis conexiones por origen: ocho EventSource dejan a la página sin ninguna; ocho WebSocket, no. */

import { $, badge, decimal, element } from "./dom.js";
import { onLoopback, socketUrl, url } from "./wires.js";

const MANY = 8;
const GIVE_UP_MS = 3000;
let crowd = [];

function closeAll() {
  for (const member of crowd) member.close();
  crowd = [];
}

async function gather(label, open) {
  closeAll();
  setBusy(true);
  crowd = [];
  for (let i = 0; i < MANY; i++) crowd.push(await open());
  const mine = crowd, began = performance.now();
  let answer;
  const timer = setInterval(() => {
    if (crowd !== mine) return clearInterval(timer);
    draw(label, answer ?? `esperando desde hace ${decimal((performance.now() - began) / 1000)} s…`);
  }, 100);
  answer = await ping();
  setBusy(false);
}

/** Una petición corriente, por el mismo origen que la multitud. */
async function ping() {
  const began = performance.now();
  try {
    await fetch(await url("crowd", `api/ping?${began}`), { signal: AbortSignal.timeout(GIVE_UP_MS) });
    return `respondida en ${decimal(performance.now() - began, 0)} ms`;
  } catch {
    return `sin respuesta en ${GIVE_UP_MS / 1000} s: no queda ninguna conexión libre`;
  }
}

function draw(label, answer) {
  const open = crowd.filter((member) => member.readyState === 1).length;
  $("#crowd-dots").replaceChildren(...crowd.map((member) => (member.readyState === 1 ? badge("passed", "abierta") : badge("running", "en espera"))));
  $("#crowd-verdict").replaceChildren(element("strong", "", `${open} de ${crowd.length} ${label} abiertos. `), `Una petición normal: ${answer}.`);
}

function setBusy(busy) {
  for (const button of document.querySelectorAll("#crowd button")) button.disabled = busy || !onLoopback;
}

$("#crowd-sse").addEventListener("click", () => gather("EventSource", async () => new EventSource(await url("crowd", "events"))));
$("#crowd-ws").addEventListener("click", () => gather("WebSocket", async () => new WebSocket(await socketUrl("crowd", "ws/ticks"))));
$("#crowd-close").addEventListener("click", () => {
  closeAll();
  $("#crowd-dots").replaceChildren();
  $("#crowd-verdict").textContent = "Cerradas.";
});
setBusy(false);
