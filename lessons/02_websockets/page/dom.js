/* Piezas de la página: buscar, crear y añadir elementos, y escribir cifras en español. */

export const $ = (selector, root = document) => root.querySelector(selector);
export const bytes = (hex) => hex.match(/../g) ?? [];
export const decimal = (value, digits = 1) => value.toLocaleString("es", { maximumFractionDigits: digits, minimumFractionDigits: digits });
export const shorten = (text) => (text.length > 90 ? `${text.slice(0, 20)}… (${text.length.toLocaleString("es")} caracteres)` : text);

export function element(tag, className, ...children) {
  const created = document.createElement(tag);
  if (className) created.className = className;
  created.append(...children);
  return created;
}

/** Añade al final, olvida lo más viejo y, si se estaba mirando el final, lo sigue. */
export function appendTo(list, item, limit) {
  const following = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(item);
  while (list.children.length > limit) list.firstElementChild.remove();
  if (following) list.scrollTop = list.scrollHeight;
}
