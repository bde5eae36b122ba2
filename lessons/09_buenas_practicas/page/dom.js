/* Piezas de la página: buscar y crear elementos, escribir cifras en español y hablar con la API. */

export const $ = (selector, root = document) => root.querySelector(selector);
export const decimal = (value, digits = 1) => value.toLocaleString("es", { maximumFractionDigits: digits, minimumFractionDigits: digits });

export function element(tag, className, ...children) {
  const created = document.createElement(tag);
  if (className) created.className = className;
  created.append(...children);
  return created;
}

/** Una petición a la API; si la rechaza, un error con lo que dijo. */
export async function send(method, path, body) {
  const answer = await fetch(path, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(JSON.parse(text).detail ?? text);
  return text ? JSON.parse(text) : null;
}

/** Un botón que hace algo con el servidor: mientras tanto no se puede volver a pulsar, y al acabar dice cómo fue. */
export function onPress(button, said, work) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    said.textContent = "En ello…";
    try {
      said.textContent = (await work()) ?? "Hecho.";
    } catch (problem) {
      said.textContent = `No se pudo: ${problem.message}`;
    } finally {
      button.disabled = false;
    }
  });
}

export const badge = (verdict, text) => element("span", `badge ${verdict}`, text);
