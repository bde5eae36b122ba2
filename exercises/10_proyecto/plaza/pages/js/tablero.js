/* El tablero: un EventSource con un billete nuevo en cada conexión, y lo que trae, en cifras, curvas y una tabla. */

import { ticket } from "./api.js";
import { $, element } from "./dom.js";
import { alertText, COLUMNS, FIGURES, number } from "./figures.js";
import { header } from "./header.js";
import { Link } from "./link.js";
import * as session from "./session.js";
import { Sparkline } from "./sparkline.js";
import { statusView } from "./status.js";

const SILENCE_MS = 20_000;
const me = session.require();
header(me);

const cards = FIGURES.map((figure) => {
  const spark = new Sparkline(figure.keys?.length ?? 1);
  const value = element("span", "", "–");
  const [detail, top] = [element("p", "detail"), element("span", "")];
  const unit = figure.unit ? [element("span", "unit", figure.unit)] : [];
  const keys = (figure.keys ?? []).map((name, at) => element("span", "", element("span", at ? "key second" : "key"), name));
  const card = element(
    "article", "card figure-card",
    element("h3", "", figure.title), element("p", "value", value, ...unit), detail, spark.svg,
    element("div", "scale", ...(keys.length ? keys : [element("span", "", "90 s")]), top),
  );
  card.id = `figure-${figure.id}`;
  return { ...figure, spark, value, detailPlace: detail, top, card };
});
$("#figures").append(...cards.map(({ card }) => card));
$("#processes-head").append(element("tr", "", ...["Proceso", ...COLUMNS.map(([name]) => name)].map(columnHead)));

function columnHead(name) {
  const head = element("th", "", name);
  head.scope = "col";
  return head;
}

function draw({ total, workers, alerts }) {
  const ringing = new Set(alerts.map(({ metric }) => metric));
  for (const { title, unit = "", values, detail, ceiling, metric, keep, spark, value, detailPlace, top, card } of cards) {
    const now = values(total);
    spark.push(...now);
    const shown = number(now[0]);
    spark.draw(`${title}: ${shown} ${unit}`.trim(), ceiling);
    if (now[0] !== null || !keep) value.textContent = shown;
    detailPlace.textContent = detail(total);
    top.textContent = `máx. ${number(spark.top)}`;
    card.classList.toggle("alarm", ringing.has(metric));
  }
  drawAlerts(alerts);
  drawProcesses(total, workers);
  $("#updated").textContent = `Actualizado a las ${new Date().toLocaleTimeString("es")}`;
}

// Se toca solo si cambia: es una zona que un lector de pantalla lee en voz alta.
let said = null;
function drawAlerts(alerts) {
  const texts = alerts.map(alertText);
  const kinds = alerts.map(({ metric }) => metric).join();
  if (kinds === said) {
    [...$("#alerts").children].forEach((item, at) => texts[at] && (item.textContent = texts[at]));
    return;
  }
  said = kinds;
  const items = texts.map((text) => element("li", "", text));
  $("#alerts").replaceChildren(...(items.length ? items : [element("li", "fine", "Todo dentro de sus umbrales.")]));
}

let before = new Map();
function drawProcesses(total, workers) {
  const now = performance.now();
  const counts = new Map();
  const rows = Object.entries(workers).map(([name, all]) => {
    const count = all.messages_published_total ?? 0;
    counts.set(name, { count, now });
    const old = before.get(name);
    const rate = old ? Math.max(0, (count - old.count) / ((now - old.now) / 1000)) : 0;
    return row(name, all, rate, "");
  });
  before = counts;
  $("#processes").replaceChildren(...rows, row("total", total, total.messages_per_second ?? 0, "total"));
}

function row(name, all, rate, className) {
  const head = element("th", "", name);
  head.scope = "row";
  const cells = COLUMNS.map(([, read]) => {
    const value = read(all, rate);
    return element("td", "", typeof value === "string" ? value : number(value));
  });
  return element("tr", className, head, ...cells);
}

/** EventSource volvería solo con el mismo billete, ya gastado: se cierra y lo hace Link con otro. */
async function open({ signal, up }) {
  const source = new EventSource(`/events/dashboard?${new URLSearchParams({ ticket: await ticket() })}`);
  return new Promise((done) => {
    let timer = null;
    const end = () => {
      clearTimeout(timer);
      source.close();
      done({});
    };
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(end, SILENCE_MS);
    };
    heard();
    signal.addEventListener("abort", end);
    source.onerror = end;
    source.onopen = up;
    source.addEventListener("metrics", ({ data }) => {
      heard();
      draw(JSON.parse(data));
    });
  });
}

const show = statusView(() => link.retry());
const link = new Link(open, show);
link.run();
