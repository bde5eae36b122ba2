/* Lo mínimo para construir la página. Todo texto entra como texto: aquí no hay forma de escribir HTML. */

export const $ = (selector, root = document) => root.querySelector(selector);

export function element(tag, className, ...children) {
  const created = document.createElement(tag);
  if (className) created.className = className;
  created.append(...children);
  return created;
}

export function button(text, className, work) {
  const created = element("button", className, text);
  created.type = "button";
  created.addEventListener("click", work);
  return created;
}

const CLOCK = new Intl.DateTimeFormat("es", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("es", { weekday: "long", day: "numeric", month: "long" });
const MOMENT = new Intl.DateTimeFormat("es", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const clock = (iso) => CLOCK.format(new Date(iso));
export const moment = (iso) => MOMENT.format(new Date(iso));

export function day(iso) {
  const date = new Date(iso);
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (date.toDateString() === today.toDateString()) return "Hoy";
  return date.toDateString() === yesterday.toDateString() ? "Ayer" : DAY.format(date);
}

export function time(iso, text) {
  const created = element("time", "", text);
  created.dateTime = iso;
  created.title = new Date(iso).toLocaleString("es");
  return created;
}

/** Un color de los cinco de la casa, siempre el mismo para el mismo nombre. */
export function avatar(name) {
  const sum = [...name].reduce((total, letter) => (total * 33 + letter.codePointAt(0)) % 9973, 0);
  const created = element("span", `avatar tone-${(sum % 5) + 1}`, [...name][0].toUpperCase());
  created.setAttribute("aria-hidden", "true");
  return created;
}

/** Que algo se haga como mucho una vez cada `ms`; lo último pedido no se pierde. */
export function throttle(ms, work) {
  let timer = null;
  let last = -Infinity;
  return () => {
    if (timer !== null) return;
    timer = setTimeout(() => {
      timer = null;
      last = performance.now();
      work();
    }, Math.max(0, last + ms - performance.now()));
  };
}

/** Deja en `list` justo esos nodos, en ese orden, moviendo los menos posibles. */
export function arrange(list, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...list.children]) if (!wanted.has(child)) child.remove();
  let at = list.firstElementChild;
  for (const node of nodes) {
    if (node === at) at = at.nextElementSibling;
    else list.insertBefore(node, at);
  }
}
