/* Cuánto pesa un mensaje: la misma carga por HTTP y por WebSocket, contada en el cable. */

import { Chart } from "../common/chart.js";
import { base, onLoopback, wireOrigin } from "./connection.js";
import { $, decimal, element } from "./dom.js";
import { listeners } from "./wire.js";

const ROUNDS = 20;
const TIMED = 200;
const PAYLOAD = '{"type":"say","text":"lo mismo de 38"}';
const chart = new Chart($("#cost-chart"), {
  title: "Bytes alrededor de cada mensaje", kind: "bar", stacked: true, height: 230,
  y: { label: "cabecera", unit: "B" }, series: ["cliente → servidor", "servidor → cliente"],
});

/** Manda ROUNDS mensajes y reúne lo que el relé oyó en las conexiones cuya ruta contiene `mark`. */
async function tally(mark, expected, sendAll) {
  const found = { connections: new Set(), opening: 0, up: [], down: [] };
  const complete = new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error("el relé no vio todos los mensajes; recarga la página")), 8000);
    listeners.add(function listener(event, cable) {
      if (!cable.target.includes(mark)) return;
      expected(event, found);
      if (Math.min(found.up.length, found.down.length) < ROUNDS) return;
      listeners.delete(listener);
      clearTimeout(deadline);
      resolve();
    });
  });
  await Promise.all([sendAll(), complete]);
  return found;
}

const countHttp = (event, found) => {
  if (event.kind !== "head") return;
  found.connections.add(event.connection);
  found[event.direction].push(event.header_size);
};
const countFrames = (event, found) => {
  found.connections.add(event.connection);
  if (event.kind === "head") found.opening += event.header_size;
  if (event.opcode === 1) found[event.direction].push(event.header_size);
};

async function timed(rounds, once) {
  const times = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    await once();
    times.push(performance.now() - start);
  }
  return times;
}

async function overHttp(host, mark, rounds) {
  const url = `http://${host}${base.pathname}api/echo?${mark}`;
  return timed(rounds, async () => (await fetch(url, { method: "POST", body: PAYLOAD })).text());
}

async function overWebSocket(host, mark, rounds) {
  const socket = new WebSocket(`ws://${host}${base.pathname}ws/echo?${mark}`, ["eco.v1"]);
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = () => reject(new Error("no se pudo conectar")); });
  const times = await timed(rounds, () => new Promise((resolve) => { socket.onmessage = resolve; socket.send(PAYLOAD); }));
  socket.close(1000);
  return times;
}

async function measure() {
  const run = Date.now().toString(36);
  $("#measure").disabled = true;
  $("#measure-state").textContent = "Midiendo…";
  try {
    const relay = await wireOrigin();
    const http = await tally(`http-${run}`, countHttp, () => overHttp(relay, `http-${run}`, ROUNDS));
    const ws = await tally(`ws-${run}`, countFrames, () => overWebSocket(relay, `ws-${run}`, ROUNDS));
    // El tiempo se mide sin relé y sin dibujar tramas, que estorbarían.
    http.times = await overHttp(location.host, "", TIMED);
    ws.times = await overWebSocket(location.host, "", TIMED);
    report(http, ws);
    $("#measure-state").textContent = "Hecho.";
  } catch (problem) {
    $("#measure-state").textContent = `No se pudo medir: ${problem.message}.`;
  } finally {
    $("#measure").disabled = !onLoopback;
  }
}
$("#measure").addEventListener("click", measure);

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

function report(http, ws) {
  const row = (name, found) => element("tr", "", element("th", "", name),
    ...[String(found.connections.size), `${decimal(mean(found.up), 0)} B`, `${decimal(mean(found.down), 0)} B`, `${found.opening || "–"}${found.opening ? " B" : ""}`,
      `${decimal(median(found.times), 2)} ms`].map((text) => element("td", "num", text)));
  $("#cost-rows").replaceChildren(row("HTTP (POST)", http), row("WebSocket", ws));
  const around = (found) => mean(found.up) + mean(found.down);
  chart.set([{ label: "HTTP (POST)", values: [mean(http.up), mean(http.down)] }, { label: "WebSocket", values: [mean(ws.up), mean(ws.down)] }]);
  const breakEven = Math.ceil(ws.opening / (around(http) - around(ws)));
  $("#cost-verdict").textContent = `Abrir costó ${ws.opening} B y cada ida y vuelta ${decimal(around(ws), 0)} B, contra `
    + `${decimal(around(http), 0)} B de HTTP: sale a cuenta desde el mensaje ${breakEven}. Y las ${ROUNDS} peticiones HTTP usaron `
    + `${http.connections.size === 1 ? "una sola conexión: HTTP/1.1 no cierra tras cada respuesta." : `${http.connections.size} conexiones.`}`;
}
$("#measure").disabled = !onLoopback;
