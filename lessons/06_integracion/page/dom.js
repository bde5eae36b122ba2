/* Piezas de la página: buscar y crear elementos, escribir cifras en español y hablar con la API. */

export const $ = (selector, root = document) => root.querySelector(selector);
export const ms = (value) => `${Math.round(value).toLocaleString("es")} ms`;

export function element(tag, className, ...children) {
  const created = document.createElement(tag);
  if (className) created.className = className;
  created.append(...children);
  return created;
}

/** Una petición a la API; si la rechaza, un error con lo que dijo. */
export async function post(path, body) {
  const options = body ? { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
  const answer = await fetch(path, { method: "POST", ...options });
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `el servidor contesta ${answer.status}`);
  return answer.json();
}

/** Un botón que hace algo con el servidor: mientras tanto no se puede volver a pulsar, y al acabar dice cómo fue. */
export function onPress(button, said, work) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    said.textContent = "En ello…";
    try {
      said.textContent = await work();
    } catch (problem) {
      said.textContent = `No se pudo: ${problem.message}`;
    } finally {
      button.disabled = false;
    }
  });
}
