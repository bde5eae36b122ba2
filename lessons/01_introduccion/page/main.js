/* La página: mandos, los cuatro paneles y el flujo de lecturas de sus contadores. */

import { $ } from "./dom.js";
import { Pane, UNREAD } from "./pane.js";
import { extrapolate, forgetRates, plotDelay, summarize } from "./summary.js";
import { transports } from "./transports.js";

const base = new URL(".", location.href);
const onLoopback = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);
const settings = { interval: 1000, memory: false, depth: 0 };
const panes = Object.entries(transports).map(([key, transport]) => new Pane(key, transport, plotDelay));
let ports = null;

/** Por dónde habla un panel: por su contador, o directo al servidor si la página está en otra máquina. */
function place(pane) {
  const host = ports && onLoopback ? `127.0.0.1:${ports[pane.key]}` : location.host;
  const secure = location.protocol === "https:" ? "s" : "";
  return { http: `http${secure}://${host}${base.pathname}`, ws: `ws${secure}://${host}${base.pathname}` };
}

const start = (pane) => pane.start(place(pane), settings);

/** Poner a cero espera a la lectura siguiente: la última puede tener ya un cuarto de segundo. */
const resetSoon = () => { $("#reset").disabled = true; };

function resetNow() {
  panes.forEach((pane) => pane.reset());
  forgetRates();
  $("#reset").disabled = false;
}

function watchMeters() {
  const lab = new EventSource("api/lab");
  lab.addEventListener("ports", ({ data }) => {
    ports = JSON.parse(data);
    $("#no-server").hidden = true;
    for (const pane of panes) {
      pane.reading = UNREAD;
      start(pane);
    }
    resetNow();
  });
  lab.addEventListener("reading", ({ data }) => {
    const reading = JSON.parse(data);
    for (const pane of panes) pane.measure(reading[pane.key]);
    if ($("#reset").disabled) resetNow();
    summarize(panes);
    extrapolate(reading);
  });
  lab.onerror = () => { $("#no-server").hidden = false; };
}

async function setPace(seconds) {
  await fetch("api/pace", { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ seconds }) });
}

$("#move").addEventListener("click", () => fetch("api/move", { method: "POST" }));
$("#reset").addEventListener("click", resetSoon);
$("#pace").addEventListener("change", ({ target }) => setPace(Number(target.value)));
$("#interval").addEventListener("change", ({ target }) => { settings.interval = Number(target.value); start(panes[0]); resetSoon(); });
$("#memory").addEventListener("change", ({ target }) => { settings.memory = target.checked; resetSoon(); });
$("#depth").addEventListener("change", ({ target }) => { settings.depth = Number(target.value); panes.filter((pane) => pane.stop).forEach(start); resetSoon(); });
for (const pane of panes) {
  $(".toggle", pane.card).addEventListener("click", () => (pane.stop ? pane.halt() : start(pane)));
}

// El único panel cuya conexión sirve también para subir.
const upward = Object.assign(document.createElement("button"), { className: "small", id: "move-here", textContent: "Pedir un cambio por aquí" });
upward.addEventListener("click", () => panes[3].send?.("move"));
$(".actions", panes[3].card).append(upward);

$("#no-meter").hidden = onLoopback;
const { seconds } = await (await fetch("api/pace")).json();
$("#pace").value = String(seconds);
watchMeters();
setInterval(() => panes.forEach((pane) => pane.showState()), 100);
