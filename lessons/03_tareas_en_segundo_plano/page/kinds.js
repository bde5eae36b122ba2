/* Las clases de tarea que hay, y los botones que las lanzan. */

import { $, call } from "./dom.js";

export const KINDS = {
  wait: { name: "Espera con await", says: "Mientras espera, el bucle atiende a otros.", code: "await asyncio.sleep(s)" },
  freeze: { name: "Espera sin await", says: "Está en async def, y aun así detiene el bucle con todos dentro.", code: "time.sleep(s)" },
  thread: { name: "Espera en un hilo", says: "La misma función, fuera del bucle.", code: "await asyncio.to_thread(time.sleep, s)" },
  hog: { name: "Cálculo en el bucle", says: "No espera a nada: ocupa el procesador y no suelta el bucle.", code: "compute(s)" },
  process: { name: "Cálculo en otro proceso", says: "El mismo cálculo, en otro procesador.", code: "run_in_executor(processes, compute, s)" },
  fail: { name: "Falla a mitad", says: "Queda apuntada como fallida, con su traza en el registro.", code: "raise RuntimeError(…)" },
  queue: { name: "En la cola", says: "La API la escribe en Redis antes de contestar; la hace el obrero.", code: "await task.kiq(…)" },
};

export function showKinds() {
  for (const [kind, { name, says, code }] of Object.entries(KINDS)) {
    const card = $("#kind").content.cloneNode(true).firstElementChild;
    card.id = `kind-${kind}`;
    $("h3", card).textContent = name;
    $(".says", card).textContent = says;
    $("code", card).textContent = code;
    for (const button of card.querySelectorAll("button")) {
      button.setAttribute("aria-label", `${button.textContent}: ${name}`);
      button.addEventListener("click", () => launch(kind, Number(button.dataset.count)));
    }
    $("#kinds").append(card);
  }
}

async function launch(kind, count) {
  const start = performance.now();
  const say = (text) => { $("#answer").textContent = text; };
  say(`Pidiendo ${count}…`);
  try {
    const { accepted } = await call("POST", "api/tasks", { kind, count, seconds: Number($("#seconds").value) });
    say(`«${KINDS[kind].name}»: ${accepted} de ${count} aceptadas en ${Math.round(performance.now() - start)} ms.`);
  } catch (problem) {
    say(`No se pudo: ${problem.message}`);
  }
}
