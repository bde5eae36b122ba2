/* Qué se enseña en el tablero y cómo se lee en el suceso `metrics`. */

const decimals = (digits) => new Intl.NumberFormat("es", { maximumFractionDigits: digits });
const whole = decimals(0);
const one = decimals(1);

export const number = (value) => (value === null ? "–" : (value < 10 && value % 1 ? one : whole).format(value));
const ms = (seconds) => (seconds == null ? null : seconds * 1000);
const sum = (tree) => Object.values(tree ?? {}).reduce((total, value) => total + value, 0);
const tasks = (all, status) => all.tasks_total?.[status] ?? 0;
const plural = (count, singular, more) => `${number(count)} ${count === 1 ? singular : more}`;

/** `values(total)`: una o dos curvas; la cifra grande es la última. `metric`: con qué alerta se enciende.
 * `keep`: cuando no hay dato nuevo, se deja a la vista el anterior. */
export const FIGURES = [
  {
    id: "connections",
    title: "Conexiones",
    values: (all) => [all.connections?.websocket ?? 0],
    detail: (all) => `${plural(all.connections_opened_total?.websocket ?? 0, "abierta", "abiertas")} desde el arranque`,
  },
  {
    id: "streams",
    title: "Flujos SSE",
    values: (all) => [all.connections?.sse ?? 0],
    detail: () => "avisos y tableros abiertos",
  },
  {
    id: "messages",
    title: "Mensajes",
    unit: "por segundo",
    values: (all) => [all.messages_per_second ?? 0],
    detail: (all) => `${number(all.messages_published_total ?? 0)} en total; ${number(sum(all.messages_delivered_total))} entregas`,
  },
  {
    id: "latency",
    title: "Latencia de entrega, p99",
    unit: "ms",
    metric: "delivery_p99_seconds",
    keys: ["p99", "p50"],
    keep: true,
    values: (all) => [ms(all.delivery_p99_seconds), ms(all.delivery_p50_seconds)],
    detail: (all) => (all.delivery_p50_seconds == null ? "ahora no hay entregas" : `p50: ${number(ms(all.delivery_p50_seconds))} ms`),
  },
  {
    id: "queued",
    title: "Tareas en cola",
    metric: "tasks_queued",
    values: (all) => [all.tasks_queued ?? 0],
    detail: (all) => `${plural(tasks(all, "done"), "hecha", "hechas")}, ${plural(tasks(all, "failed"), "fallida", "fallidas")}`,
  },
  {
    id: "cache",
    title: "Aciertos de la caché",
    unit: "%",
    ceiling: 100,
    keep: true,
    values: (all) => [all.cache_hit_ratio == null ? null : all.cache_hit_ratio * 100],
    detail: (all) => `${number(sum(all.cache_requests_total))} lecturas desde el arranque`,
  },
  {
    id: "slow",
    title: "Expulsados por lentos",
    values: (all) => [all.slow_consumers_total ?? 0],
    detail: (all) => `${plural(sum(all.disconnects_total), "cierre", "cierres")} en total`,
  },
  {
    id: "outbox",
    title: "En las bandejas de salida",
    unit: "KiB",
    metric: "outbox_bytes",
    values: (all) => [(all.outbox_bytes ?? 0) / 1024],
    detail: (all) => `${number(all.rate_limited_total ?? 0)} envíos frenados por ir deprisa`,
  },
];

/** Columnas de la tabla de procesos; `rate` se calcula comparando con la vez anterior. */
export const COLUMNS = [
  ["WebSockets", (all) => all.connections?.websocket ?? 0],
  ["Flujos", (all) => all.connections?.sse ?? 0],
  ["Mensajes/s", (all, rate) => rate],
  ["Entregas", (all) => sum(all.messages_delivered_total)],
  ["Tareas hechas", (all) => tasks(all, "done")],
  ["Fallidas", (all) => tasks(all, "failed")],
  ["Caché", (all) => {
    const read = sum(all.cache_requests_total);
    return read ? `${whole.format((100 * (all.cache_requests_total.hit ?? 0)) / read)} %` : "–";
  }],
  ["Lentos", (all) => all.slow_consumers_total ?? 0],
  ["Redis reencontrado", (all) => all.redis_reconnects_total ?? 0],
];

const ALERTS = {
  delivery_p99_seconds: ({ value, threshold }) => `Las entregas tardan: p99 de ${number(ms(value))} ms (umbral: ${number(ms(threshold))} ms).`,
  tasks_queued: ({ value, threshold }) => `Hay ${number(value)} tareas en cola (umbral: ${number(threshold)}).`,
  outbox_bytes: ({ value, threshold }) => `Esperan ${number(value / 1024)} KiB en las bandejas (umbral: ${number(threshold / 1024)} KiB).`,
};

export const alertText = (alert) =>
  ALERTS[alert.metric]?.(alert) ?? `${alert.metric}: ${number(alert.value)} (umbral: ${number(alert.threshold)}).`;
