/* Cada medio segundo se leen las dos páginas de métricas y la verdad, y se enseñan una junto a otra. */

import { Chart } from "../common/chart.js";
import { $, decimal, element, figures } from "./dom.js";
import { buckets, parse, quantile, rate } from "./scrape.js";

const EVERY_MS = 500;
const IN_FLIGHT = 3;
const WINDOW = 30; // lecturas, 15 s, con que se calculan los percentiles
const RATE_WINDOW = 6;
const LATENCY = "websocket_message_latency_seconds";
const RECEIVED = 'websocket_messages_total{direction="received"}', SENT = 'websocket_messages_total{direction="sent"}';
const NAMES = ["verdad", "ingenua", "correcta"];
const seconds = { label: "tiempo", unit: "s" };
const openChart = new Chart($("#open-chart"), { title: "Conexiones abiertas", x: seconds, y: { label: "conexiones" }, series: NAMES, window: 90, height: 250 });
const rateChart = new Chart($("#rate-chart"), { title: "rate(websocket_messages_total), por sentido", x: seconds, y: { label: "mensajes/s" }, series: ["recibidos", "enviados"], window: 90 });
const latencyChart = new Chart($("#latency-chart"), { title: "Del histograma: media y percentil 95", x: seconds, y: { label: "latencia", unit: "ms" }, series: ["media", "percentil 95"], window: 90 });
const started = performance.now();
const history = { naive: [], right: [] };
const shown = { naive: new Map(), right: new Map() };

export function watch() {
  turn();
  setInterval(turn, EVERY_MS);
}

async function turn() {
  if (document.hidden) return;
  try {
    const read = async (path) => (await fetch(path)).text();
    const [truth, naive, right] = await Promise.all([read("api/truth"), read("naive/metrics"), read("metrics")]);
    show(JSON.parse(truth), { naive, right });
  } catch {
    // El servidor se está reiniciando: la siguiente lectura lo dirá.
  }
}

function show(truth, pages) {
  const at = (performance.now() - started) / 1000;
  for (const kind of ["naive", "right"]) {
    history[kind] = [...history[kind], { at, series: parse(pages[kind]) }].slice(-WINDOW);
    showPage(kind, pages[kind]);
  }
  const [naive, right] = [history.naive.at(-1).series, history.right.at(-1).series];
  showTruth(truth, naive, right);
  openChart.push("verdad", at, truth.open);
  openChart.push("ingenua", at, naive.get("websocket_connections_total"));
  openChart.push("correcta", at, right.get("websocket_connections"));
  showRates(at);
  showLatency(at);
}

function showTruth(truth, naive, right) {
  const errors = (reason) => right.get(`websocket_connection_errors_total{reason="${reason}"}`);
  const rows = [
    ["conexiones abiertas", truth.open, naive.get("websocket_connections_total"), right.get("websocket_connections")],
    ["mensajes recibidos", truth.sent, naive.get(RECEIVED), right.get(RECEIVED)],
    ["mensajes enviados", truth.received, naive.get(SENT) ?? 0, right.get(SENT)],
    ["latencias medidas", truth.answered, naive.get(`${LATENCY}_count`), right.get(`${LATENCY}_count`)],
    ["se fueron sin despedirse", truth.dropped, undefined, errors("dropped")],
    ["enviaron basura", truth.invalid, undefined, errors("invalid")],
    ["falló el servidor", truth.server, undefined, errors("server")],
    ["bytes en cola", null, undefined, right.get("websocket_queued_bytes")],
    ["memoria del proceso (MB)", null, undefined, (right.get("process_resident_memory_bytes") ?? NaN) / 1e6],
  ];
  $("#truth tbody").replaceChildren(...rows.map(([name, real, ...claims]) => {
    const header = element("th", "", name);
    header.scope = "row";
    return element("tr", "", header, element("td", "", real === null ? "?" : decimal(real)), ...claims.map((claim) => cell(real, claim, name.startsWith("conexiones") ? 0 : IN_FLIGHT)));
  }));
}

function cell(real, claim, slack) {
  if (claim === undefined || Number.isNaN(claim)) return element("td", "soft", "–");
  return element("td", real === null ? "" : verdict(real, claim, slack), decimal(claim));
}

/** Con mensajes por el camino, la verdad y la métrica no se leen en el mismo instante: uno o dos de diferencia no es mentir. */
function verdict(real, claim, slack) {
  if (real === claim) return "good";
  return claim > 0 && Math.abs(real - claim) <= slack && Number($("#rate").value) > 0 ? "near" : "bad";
}

function showPage(kind, text) {
  const all = $("#all").checked;
  const lines = text.trim().split("\n").filter((line) => all || !/^#|^(python|process)_|_created/.test(line));
  const previous = shown[kind];
  shown[kind] = new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), line]));
  $(`#${kind}-page`).replaceChildren(...lines.map((line) => {
    const before = previous.get(line.slice(0, line.lastIndexOf(" ")));
    return element("li", line.startsWith("#") ? "meta" : before !== undefined && before !== line ? "changed" : "", line);
  }));
}

function showRates(at) {
  const [before, after] = [history.right.at(-RATE_WINDOW), history.right.at(-1)];
  for (const [name, series] of [["recibidos", RECEIVED], ["enviados", SENT]]) {
    const value = rate(series, before, after);
    if (value !== null) rateChart.push(name, at, value);
  }
}

function showLatency(at) {
  const [before, after] = [history.right[0], history.right.at(-1)];
  const rise = (part) => after.series.get(`${LATENCY}_${part}`) - (before.series.get(`${LATENCY}_${part}`) ?? 0);
  const count = rise("count"), cumulative = buckets(LATENCY, before, after);
  const ms = (value) => (value === null ? "–" : `${decimal(value * 1000)} ms`);
  const mean = count ? rise("sum") / count : null;
  const [half, most, almost] = [0.5, 0.95, 0.99].map((share) => quantile(share, cumulative));
  figures($("#latency"), [["mensajes", decimal(count)], ["media", ms(mean)], ["mediana", ms(half)], ["percentil 95", ms(most)], ["percentil 99", ms(almost)]]);
  if (mean === null) return;
  latencyChart.push("media", at, mean * 1000);
  latencyChart.push("percentil 95", at, most * 1000);
}
