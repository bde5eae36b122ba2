/* Piezas de la página: buscar y crear elementos, y escribir cifras en español. */

export const $ = (selector, root = document) => root.querySelector(selector);
export const decimal = (value, digits = 1) => value.toLocaleString("es", { maximumFractionDigits: digits, minimumFractionDigits: digits });
export const whole = (value) => Math.round(value).toLocaleString("es");
export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

export function element(tag, className, ...children) {
  const created = document.createElement(tag);
  if (className) created.className = className;
  created.append(...children);
  return created;
}

/** Bytes en la unidad que se lee de un vistazo: B, kB o MB, de mil en mil. */
export function size(bytes) {
  if (bytes < 10_000) return `${whole(bytes)} B`;
  return bytes < 1e6 ? `${decimal(bytes / 1e3)} kB` : `${decimal(bytes / 1e6)} MB`;
}

export function duration(ms) {
  return ms < 1000 ? `${whole(ms)} ms` : `${decimal(ms / 1000)} s`;
}
