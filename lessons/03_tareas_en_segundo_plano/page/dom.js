/* Piezas de la página: buscar y crear elementos, pedir cosas al servidor y escribir cifras en español. */

export const $ = (selector, root = document) => root.querySelector(selector);
export const decimal = (value, digits = 1) => value.toLocaleString("es", { maximumFractionDigits: digits, minimumFractionDigits: digits });

export function element(tag, className, ...children) {
  const created = document.createElement(tag);
  if (className) created.className = className;
  created.append(...children);
  return created;
}

/** Lo que contesta el servidor; si dice que no, lanza su explicación. */
export async function call(method, path, body) {
  const options = body ? { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : { method };
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error((await answer.json()).detail ?? `el servidor contesta ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}
