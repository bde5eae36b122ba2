/* Piezas de la página: buscar y crear elementos, escribir cifras en español y hablar con la API. */

export const $ = (selector, root = document) => root.querySelector(selector);
export const decimal = (value, digits = 0) => value.toLocaleString("es", { maximumFractionDigits: digits, minimumFractionDigits: digits });

export function element(tag, className, ...children) {
  const created = document.createElement(tag);
  if (className) created.className = className;
  created.append(...children);
  return created;
}

/** Cifras con su nombre: [[nombre, valor], …]. */
export function figures(list, rows) {
  list.replaceChildren(...rows.map(([name, value]) => element("div", "", element("dt", "", name), element("dd", "figure", value))));
}

/** Una petición a la API; si la rechaza, un error con lo que dijo. */
export async function send(method, path, body) {
  const answer = await fetch(path, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(problem(text));
  return text ? JSON.parse(text) : null;
}

function problem(text) {
  try {
    return JSON.parse(text).detail ?? text;
  } catch {
    return text;
  }
}

/** Un botón que hace algo con el servidor: mientras tanto no se puede volver a pulsar, y al acabar dice cómo fue. */
export function onPress(button, said, work) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    said.textContent = "En ello…";
    try {
      said.textContent = (await work()) ?? "Hecho.";
    } catch (failure) {
      said.textContent = `No se pudo: ${failure.message}`;
    } finally {
      button.disabled = false;
    }
  });
}
