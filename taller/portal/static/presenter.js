/* La vista de quien programa en directo: el reloj, frente a lo previsto, y el mando de las diapositivas. */

import { ask } from "./api.js";
import { tell } from "./tell.js";

const NEXT = ["ArrowRight", "PageDown"];
const PREVIOUS = ["ArrowLeft", "PageUp"];

export function present(element) {
  const { presenter: lesson, planned } = element.dataset;
  const key = `clock-${lesson}`;
  const button = element.querySelector('[data-do="clock"]');
  const clock = element.querySelector('[data-part="clock"]');

  const show = () => {
    const started = Number(sessionStorage.getItem(key));
    button.textContent = started ? "Volver a cero" : "Empezar a contar";
    clock.textContent = started ? against((Date.now() - started) / 60_000, Number(planned)) : `previsto hasta aquí: ${planned} min`;
  };
  button.addEventListener("click", () => {
    sessionStorage.setItem(key, Date.now());
    show();
  });
  element.addEventListener("click", async (event) => {
    const catchUp = event.target.closest('[data-do="catch-up"]');
    if (!catchUp) return;
    try {
      const { backup } = await ask("POST", `/lessons/${lesson}/steps/${catchUp.dataset.number}`);
      tell(catchUp, backup ? `Hecho. Lo que había queda en ${backup}` : "Hecho: vivo.py está en este paso.");
    } catch (error) {
      tell(catchUp, error.message, "failed");
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("pre, input, textarea") || event.ctrlKey || event.altKey || event.metaKey) return;
    const where = NEXT.includes(event.key) ? "next" : PREVIOUS.includes(event.key) ? "prev" : null;
    const link = where && element.querySelector(`[rel="${where}"]`);
    if (link) {
      event.preventDefault();
      link.click();
    }
  });
  show();
  setInterval(show, 1000);
}

function against(minutes, planned) {
  const late = minutes - planned;
  const words = late > 0 ? `${duration(late)} más de lo previsto` : `quedan ${duration(-late)} para acabar este paso`;
  return `${duration(minutes)} · ${words}`;
}

function duration(minutes) {
  const seconds = Math.floor(minutes * 60);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
