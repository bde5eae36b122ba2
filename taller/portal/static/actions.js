/* Los botones: comprobar, pedir una pista, empezar de nuevo, rendirse y copiar. */

import { ask } from "./api.js";
import { el } from "./dom.js";
import { tell } from "./tell.js";

const ACTIONS = {
  check: (button) => ask("POST", `/exercises/${exerciseOf(button)}/check`),
  hint: (button) => ask("POST", `/exercises/${exerciseOf(button)}/checks/${button.dataset.number}/hints`),
  restore: (button) => ask("POST", `/exercises/${exerciseOf(button)}/restore`),
  reset,
  undo,
  "give-up": giveUp,
};

export function listenToActions() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-do], [data-copy]");
    const action = button?.dataset.copy ? copy : ACTIONS[button?.dataset.do];
    if (!action) return;
    try {
      await action(button);
    } catch (error) {
      tell(button, error.message, "failed");
    }
  });
}

function exerciseOf(button) {
  const page = document.body.dataset.focus;
  const panel = button.closest("[data-verdict]") ?? button.closest(".exercise-block")?.querySelector("[data-verdict]");
  return panel?.dataset.verdict ?? page;
}

async function reset(button) {
  const id = exerciseOf(button);
  const accepted = await confirm(
    `¿Empezar ${id} de nuevo?`,
    "El archivo vuelve a su punto de partida. Lo que tengas escrito se guarda antes en una copia.",
  );
  if (!accepted) return;
  const { backup } = await ask("POST", `/exercises/${id}/reset`);
  const note = tell(button, backup ? `Hecho. Lo que tenías está en ${backup}` : "Hecho. El archivo no tenía cambios que guardar.");
  if (backup) note.append(" ", el("button", { type: "button", class: "small", "data-do": "undo" }, "Deshacer"));
}

async function undo(button) {
  const bar = button.closest(".row");
  await ask("DELETE", `/exercises/${exerciseOf(button)}/reset`);
  tell(bar.querySelector('[data-do="reset"]'), "Recuperado: el archivo está como antes.");
}

async function giveUp(button) {
  const id = button.dataset.exercise;
  if (!(await confirm(`¿Ver la solución de ${id}?`, "Quedará apuntado que la viste antes de superarlo. Puedes seguir intentándolo."))) return;
  await ask("POST", `/exercises/${id}/solution`);
  location.reload();
}

async function copy(button) {
  await navigator.clipboard.writeText(button.dataset.copy).catch(() => {
    throw new Error("El navegador no deja copiar: selecciona la ruta y cópiala tú.");
  });
  tell(button, "Copiada");
}

function confirm(title, text) {
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-title").textContent = title;
  document.getElementById("confirm-text").textContent = text;
  dialog.returnValue = "cancel";
  for (const button of dialog.querySelectorAll("button")) button.onclick = () => dialog.close(button.value);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "accept"), { once: true });
  });
}
