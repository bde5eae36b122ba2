/* Lo que se saca en limpio de los cuatro paneles: gráficos, coste por cambio y cuentas para más gente. */

import { Chart } from "../common/chart.js";
import { $, decimal, duration, element, median, size, whole } from "./dom.js";
import { transports } from "./transports.js";

const names = Object.values(transports).map(({ name }) => name);
const started = performance.now();
const WINDOW = 10; // segundos

const delays = new Chart($("#delay-chart"), {
  title: "Retraso de cada cambio", kind: "line", log: true, window: 60, height: 250,
  x: { label: "tiempo", unit: "s" }, y: { label: "retraso", unit: "ms" }, series: names,
});
const bytes = new Chart($("#bytes-chart"), {
  title: "Bytes en el cable", kind: "bar", stacked: true, height: 250,
  y: { label: "bytes", unit: "B" }, series: ["cliente → servidor", "servidor → cliente"],
});

export function plotDelay(name, delay) {
  delays.push(name, (performance.now() - started) / 1000, Math.max(delay, 1));
}

export function summarize(panes) {
  bytes.set(panes.map((pane) => ({ label: pane.transport.short, values: [pane.crossed.up, pane.crossed.down] })));
  const [poll, , , push] = panes;
  $("#cost-poll").textContent = cost(poll, `Peticiones: ${whole(poll.crossed.requests)}; para oír lo que ya sabía: ${whole(poll.useless)}.`);
  $("#cost-push").textContent = cost(push, `Peticiones: ${whole(push.crossed.requests)}. La conexión queda abierta y el servidor habla primero.`);
}

function cost(pane, ending) {
  if (!pane.seen) return "Aún no ha visto ningún cambio.";
  const { up, down } = pane.crossed;
  return `${size((up + down) / pane.seen)} por cambio visto; retraso mediano, ${duration(median(pane.delays))}; cambios sin ver: ${whole(pane.skipped)}. ${ending}`;
}

const history = []; // lecturas de los últimos WINDOW segundos

/** Lo medido en esta página, multiplicado por el número de páginas. */
export function extrapolate(reading) {
  history.push(reading);
  while (reading.at - history[0].at > WINDOW) history.shift();
  const [first, span] = [history[0], reading.at - history[0].at || 1];
  const clients = Math.max(1, Number($("#clients").value) || 1);
  $("#crowd-rows").replaceChildren(...Object.entries(transports).map(([key, { name }]) => {
    const rate = (field) => ((reading[key][field] - first[key][field]) / span) * clients;
    const cells = [whole(rate("requests")), `${size(rate("up") + rate("down"))}/s`, whole(reading[key].open * clients)];
    return element("tr", "", element("th", "", name), ...cells.map((text) => element("td", "num", text)));
  }));
}

export function forgetRates() { history.length = 0; }
