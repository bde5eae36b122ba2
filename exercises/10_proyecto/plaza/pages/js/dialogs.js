/* Los diálogos de la página: se abren con lo suyo, y no se cierran hasta que el servidor ha dicho que sí. */

import { $ } from "./dom.js";

/**
 * Abre un <dialog> con un formulario.
 * @param work   (campos) => promesa; si falla, se dice dentro del diálogo y se puede corregir
 * @param about  una frase que se pone en su [data-about]
 */
export function openDialog(id, work, about = "") {
  const dialog = $(`#${id}`);
  const form = $("form", dialog);
  const said = $("[role=alert]", dialog);
  const submit = $("[type=submit]", dialog);
  const place = $("[data-about]", dialog);
  form.reset();
  said.textContent = "";
  if (place) place.textContent = about;
  form.onsubmit = async (event) => {
    event.preventDefault();
    submit.disabled = true;
    said.textContent = "";
    try {
      await work(Object.fromEntries(new FormData(form)));
      dialog.close();
    } catch (problem) {
      said.textContent = problem.message;
    } finally {
      submit.disabled = false;
    }
  };
  dialog.showModal();
}

/** Todos los «Cancelar», y cerrar al pulsar fuera. */
export function prepareDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("pointerdown", ({ target }) => target === dialog && dialog.close());
    for (const cancel of dialog.querySelectorAll("[data-close]")) {
      cancel.addEventListener("click", () => dialog.close());
    }
  }
}
