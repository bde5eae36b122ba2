/* El libro de cuentas: totales, una fila por lector, lo que tarda cada uno en ver lo que se dice y lo que ha pasado. */

import { Chart } from "../common/chart.js";
import { $, element } from "./dom.js";

const started = performance.now();
const clock = new Intl.DateTimeFormat("es", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const TROUBLE = /kill|SIGTERM|mudo|reinicia|deja de leer|expulsa/;
let chart = null;
let newest = 0;

export function showLedger(state) {
  const worst = (field) => Math.max(...state.readers.filter(({ careful }) => careful).map((reader) => reader[field]));
  $("#totals").replaceChildren(
    total("dicho", state.said), total("con recibo", state.acknowledged), promise("perdido", worst("lost")),
    promise("repetido", worst("duplicated")), promise("sin orden", worst("disordered")));
  $("#ledger tbody").replaceChildren(...state.readers.map(row));
  showDelays(state.readers);
  showNews(state.news);
}

function total(name, value) {
  return element("div", "", element("dt", "", name), element("dd", "", value.toLocaleString("es")));
}

/** Lo que Plaza promete que es cero, a quien dice por dónde iba. */
function promise(name, value) {
  const shown = total(name, value);
  shown.className = value ? "bad" : "good";
  return shown;
}

function row(reader) {
  const who = element("td", "", element("span", "who", reader.name),
    element("span", "soft small", reader.careful ? "dice por dónde iba" : "no lo dice"));
  const where = element("td", "", reader.process ?? "–");
  const figures = ["received", "coming", "lost", "duplicated", "disordered", "returns"].map((field) => {
    const wrong = reader[field] > 0 && ["lost", "duplicated", "disordered"].includes(field);
    return element("td", wrong ? "num bad" : "num", reader[field].toLocaleString("es"));
  });
  const shown = element("tr", "", who, where, ...figures);
  shown.dataset.reader = reader.name;
  return shown;
}

function showDelays(readers) {
  chart ??= new Chart($("#delay"), {
    title: "De decirse a verse, lo más lento de cada cuarto de segundo", window: 60, log: true, height: 230,
    x: { label: "tiempo", unit: "s" }, y: { label: "retraso", unit: "ms" }, series: readers.map(({ name }) => name),
  });
  const now = (performance.now() - started) / 1000;
  for (const { name, delay_ms: delay } of readers) if (delay !== null) chart.push(name, now, delay);
}

function showNews(news) {
  const fresh = news.filter(([number]) => number > newest);
  newest = news.at(-1)?.[0] ?? 0;
  $("#news").prepend(...fresh.reverse().map(([, at, text]) => {
    const time = element("time", "", clock.format(at * 1000));
    return element("li", TROUBLE.test(text) ? "bad" : "", time, text);
  }));
}
