/* Gráfico de líneas o de barras del taller, en SVG y sin dependencias.
 *
 *   import { Chart } from "./common/chart.js";
 *   const chart = new Chart(document.querySelector("#lag"), {
 *     title: "Retraso del bucle", kind: "line", x: { label: "tiempo", unit: "s" }, y: { label: "retraso", unit: "ms" },
 *     series: ["sondeo", "SSE"], window: 60,
 *   });
 *   chart.push("SSE", 12.5, 3.1);                                     // líneas: serie, x, y
 *   chart.set([{ label: "HTTP", values: [217, 0] }, { label: "WebSocket", values: [2, 6] }]); // barras: un valor por serie
 * Opciones: window (ancho visible del eje x), maxPoints (por serie, 600), height (px, 220), stacked (barras apiladas),
 * log (eje y logarítmico, para líneas). Los colores salen de --series-N, así que sigue el tema de la página;
 * cada serie lleva además su propio trazo, para quien no distingue colores. Un lector de pantalla oye el resumen.
 */

const SVG = "http://www.w3.org/2000/svg";
const DASHES = ["", "7 4", "2 4", "10 3 2 3", "1 3"];
const MARGIN = { top: 10, right: 12, bottom: 40, left: 72 };
const SMALL = new Intl.NumberFormat("es", { maximumSignificantDigits: 2 });
const LARGE = new Intl.NumberFormat("es", { maximumFractionDigits: 2, useGrouping: "min2" });

export class Chart {
  #figure;
  #svg;
  #options;
  #points = new Map();
  #bars = [];
  #pending = false;

  constructor(container, options) {
    this.#options = { kind: "line", height: 220, maxPoints: 600, x: {}, y: {}, series: [], ...options };
    this.#figure = container;
    this.#figure.classList.add("chart");
    this.#svg = node("svg", { role: "img", height: this.#options.height });
    const caption = document.createElement("figcaption");
    caption.textContent = this.#options.title;
    this.#figure.replaceChildren(caption, this.#svg, this.#legend());
    this.#options.series.forEach((name) => this.#points.set(name, []));
    new ResizeObserver(() => this.#schedule()).observe(this.#figure);
  }

  /** Añade un punto a una serie; el gráfico olvida los que salen de la ventana. */
  push(name, x, y) {
    const points = this.#points.get(name);
    if (!points) throw new Error(`el gráfico no tiene la serie «${name}»`);
    points.push([x, y]);
    if (points.length > this.#options.maxPoints) points.shift();
    this.#schedule();
  }

  /** Sustituye las barras: [{ label, values: [uno por serie] }]. */
  set(bars) {
    this.#bars = bars;
    this.#schedule();
  }

  /** Lo que oye un lector de pantalla, y lo que puede comprobar una prueba. */
  summary() {
    const { title, kind, y, series } = this.#options;
    const unit = y.unit ? ` ${y.unit}` : "";
    const parts = kind === "bar"
      ? this.#bars.map((bar) => `${bar.label}: ${bar.values.map((v, i) => `${series[i]} ${number(v)}${unit}`).join(", ")}`)
      : series.map((name) => `${name}: ${describe(this.#points.get(name), unit)}`);
    return `${title}. ${parts.join("; ") || "sin datos"}.`;
  }

  // Muchos datos por segundo, un solo dibujo por fotograma.
  #schedule() {
    if (this.#pending) return;
    this.#pending = true;
    requestAnimationFrame(() => {
      this.#pending = false;
      this.#draw();
    });
  }

  #draw() {
    const width = Math.max(this.#figure.clientWidth, 200);
    const { height, kind } = this.#options;
    const area = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#svg.setAttribute("aria-label", this.summary());
    this.#svg.replaceChildren(...(kind === "bar" ? this.#drawBars(area) : this.#drawLines(area)));
  }

  #drawLines(area) {
    const all = [...this.#points.values()].flat();
    const { x: xAxis, window: span, log } = this.#options;
    const last = Math.max(...all.map((p) => p[0]), span ?? 1);
    const first = span ? last - span : Math.min(...all.map((p) => p[0]), 0);
    const visible = all.filter((p) => p[0] >= first).map((p) => p[1]);
    const x = linear(first, last, area.left, area.right);
    const y = this.#yScale(visible, area, log);
    const shapes = [...this.#axes(area, y)];
    for (const tick of ticks(first, last, 5)) shapes.push(label(x.at(tick), area.bottom + 16, number(tick), "middle"));
    shapes.push(label((area.left + area.right) / 2, area.bottom + 34, axisName(xAxis), "middle"));
    this.#options.series.forEach((name, i) => {
      const inside = this.#points.get(name).filter((p) => p[0] >= first);
      const points = inside.map(([px, py]) => `${x.at(px).toFixed(1)},${y.at(py).toFixed(1)}`).join(" ");
      shapes.push(node("polyline", { class: "line", points, stroke: color(i), "stroke-dasharray": DASHES[i % DASHES.length] }));
    });
    return shapes;
  }

  #drawBars(area) {
    const { stacked, series } = this.#options;
    const totals = this.#bars.flatMap((bar) => (stacked ? [bar.values.reduce((a, b) => a + b, 0)] : bar.values));
    const y = this.#yScale(totals, area, false);
    const shapes = [...this.#axes(area, y)];
    const slot = (area.right - area.left) / Math.max(this.#bars.length, 1);
    const lanes = stacked ? 1 : Math.max(series.length, 1);
    const thickness = Math.min((slot * 0.7) / lanes, 70);
    this.#bars.forEach((bar, index) => {
      const center = area.left + slot * (index + 0.5);
      let base = 0;
      bar.values.forEach((value, i) => {
        const left = center - (thickness * lanes) / 2 + (stacked ? 0 : i * thickness);
        const top = y.at(base + value);
        shapes.push(node("rect", { x: left, y: top, width: thickness, height: Math.max(y.at(base) - top, 0), fill: color(i) }));
        if (stacked) base += value;
        else shapes.push(label(left + thickness / 2, top - 4, number(value), "middle"));
      });
      if (stacked) shapes.push(label(center, y.at(base) - 4, number(base), "middle"));
      shapes.push(label(center, area.bottom + 16, bar.label, "middle"));
    });
    return shapes;
  }

  #yScale(values, area, log) {
    if (!log) return linear(0, niceTop(Math.max(...values, 0)), area.bottom, area.top);
    const positive = values.filter((v) => v > 0);
    const low = Math.floor(Math.log10(Math.min(...positive, 1)));
    const high = Math.max(Math.ceil(Math.log10(Math.max(...positive, 10))), low + 1);
    const scale = linear(low, high, area.bottom, area.top);
    const powers = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
    return { at: (v) => scale.at(Math.log10(Math.max(v, 10 ** low))), ticks: powers };
  }

  *#axes(area, y) {
    for (const tick of y.ticks) {
      const height = y.at(tick);
      yield node("line", { class: "gridline", x1: area.left, x2: area.right, y1: height, y2: height });
      yield label(area.left - 6, height + 4, number(tick), "end");
    }
    yield node("line", { class: "axis", x1: area.left, x2: area.right, y1: area.bottom, y2: area.bottom });
    const middle = (area.top + area.bottom) / 2;
    yield node("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, axisName(this.#options.y));
  }

  #legend() {
    const list = document.createElement("ul");
    this.#options.series.forEach((name, i) => {
      const item = document.createElement("li");
      const key = node("svg", { class: "key", viewBox: "0 0 24 10", "aria-hidden": "true" });
      key.append(this.#options.kind === "bar"
        ? node("rect", { width: 24, height: 10, fill: color(i) })
        : node("line", { class: "line", x1: 0, x2: 24, y1: 5, y2: 5, stroke: color(i), "stroke-dasharray": DASHES[i % DASHES.length] }));
      item.append(key, name);
      list.append(item);
    });
    return list;
  }
}

function node(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

const label = (x, y, text, anchor) => node("text", { x, y, "text-anchor": anchor }, text);
const color = (index) => `var(--series-${(index % 5) + 1})`;
const number = (value) => (Math.abs(value) < 1 ? SMALL : LARGE).format(value);
const axisName = ({ label: name, unit }) => [name, unit && `(${unit})`].filter(Boolean).join(" ");

function linear(from, to, start, end) {
  const slope = (end - start) / (to - from || 1);
  return { at: (value) => start + (value - from) * slope, ticks: ticks(from, to, 4) };
}

function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value * 1.08));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((top) => top >= value * 1.08);
}

function ticks(from, to, count) {
  const rough = (to - from) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((s) => s * power).find((s) => s >= rough);
  const start = Math.ceil(from / step) * step;
  return Array.from({ length: Math.floor((to - start) / step + 1e-9) + 1 }, (_, i) => start + i * step);
}

function describe(points, unit) {
  if (!points.length) return "sin datos";
  const values = points.map((p) => p[1]);
  return `último ${number(values.at(-1))}${unit}, máximo ${number(Math.max(...values))}${unit}`;
}
