/* Piezas de la página: buscar y crear elementos, y hablar con la API. */

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

export function element(tag, className, ...children) {
  const created = document.createElement(tag);
  if (className) created.className = className;
  created.append(...children);
  return created;
}

export function setBadge(badge, verdict, text) {
  badge.className = `badge state ${verdict}`;
  badge.textContent = text;
}

/** Una petición a la API; si la rechaza, un error con lo que dijo. */
export async function send(method, path) {
  const answer = await fetch(`api/${path}`, { method });
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `el servidor contesta ${answer.status}`);
}

/** Un control que hace algo con el servidor: mientras tanto no se puede volver a usar, y al acabar dice cómo fue. */
export async function attempt(control, work, done = "Hecho.") {
  const said = $("#said"), focused = document.activeElement === control;
  control.disabled = true;
  said.textContent = "En ello…";
  try {
    await work();
    said.textContent = done;
  } catch (problem) {
    said.textContent = `No se pudo: ${problem.message}`;
  } finally {
    control.disabled = false;
    if (focused) control.focus(); // al deshabilitarlo lo pierde, y quien va con el teclado se quedaría sin sitio
  }
}
