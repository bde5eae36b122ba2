/* Piezas de la página: buscar, crear y añadir elementos, y escribir cifras en español. */

export const $ = (selector, root = document) => root.querySelector(selector);
export const whole = (value) => value.toLocaleString("es");
export const decimal = (value, digits = 1) => value.toLocaleString("es", { maximumFractionDigits: digits, minimumFractionDigits: digits });
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function element(tag, className, ...children) {
  const created = document.createElement(tag);
  if (className) created.className = className;
  created.append(...children);
  return created;
}

export const badge = (verdict, text) => element("span", `badge ${verdict}`, text);

/** Añade al final, olvida lo más viejo y, si se estaba mirando el final, lo sigue. */
export function appendTo(list, item, limit) {
  const following = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(item);
  while (list.children.length > limit) list.firstElementChild.remove();
  if (following) list.scrollTop = list.scrollHeight;
}
