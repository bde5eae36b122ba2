/* Cómo va cada caché, dos veces por segundo: cifras y dos gráficos. */

import { Chart } from "../common/chart.js";
import { $, decimal, element } from "./dom.js";

const SAMPLES_PER_SECOND = 2;
const LONG = 4; // muestras que resume cada cifra
const NAMES = { naive: "ingenua", right: "correcta" };
const hits = new Chart($("#hits-chart"), {
  title: "Lecturas que no llegan a la central", x: { label: "tiempo", unit: "s" }, y: { label: "aciertos", unit: "%" },
  series: Object.values(NAMES), window: 60,
});
const waits = new Chart($("#wait-chart"), {
  title: "Espera del 5 % con peor suerte", x: { label: "tiempo", unit: "s" }, y: { label: "espera p95", unit: "ms" },
  series: Object.values(NAMES), window: 60, log: true,
});
const recent = { naive: [], right: [] };
const started = performance.now();

export function watch() {
  new EventSource("api/samples").onmessage = ({ data }) => {
    const samples = JSON.parse(data);
    const seconds = (performance.now() - started) / 1000;
    for (const kind of ["naive", "right"]) follow(kind, samples[kind], seconds);
  };
}

function follow(kind, sample, seconds) {
  recent[kind] = [...recent[kind], sample].slice(-LONG);
  const sum = (field) => recent[kind].reduce((total, one) => total + one[field], 0);
  const perSecond = (field) => (sum(field) * SAMPLES_PER_SECOND) / recent[kind].length;
  const reads = sum("reads");
  // Una lectura que acaba en error no es un acierto, aunque no haya molestado a la central.
  const rate = reads ? Math.max(0, 100 * (1 - (sum("source_calls") + sum("errors")) / reads)) : null;
  figures(kind, [
    ["aciertos", rate === null ? "–" : `${decimal(rate, 0)} %`],
    ["a la central", `${decimal(perSecond("source_calls"))}/s`],
    ["espera mediana", sample.median === null ? "–" : `${decimal(sample.median)} ms`],
    ["errores", `${decimal(perSecond("errors"), 0)}/s`, sum("errors") > 0],
  ]);
  if (rate !== null) hits.push(NAMES[kind], seconds, rate);
  if (sample.p95 !== null) waits.push(NAMES[kind], seconds, sample.p95);
}

function figures(kind, rows) {
  $(`#${kind}`).replaceChildren(...rows.map(([name, value, bad]) => {
    return element("div", "", element("dt", "", name), element("dd", `figure${bad ? " bad" : ""}`, value));
  }));
}
