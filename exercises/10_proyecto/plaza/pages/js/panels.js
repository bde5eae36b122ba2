/* En pantalla estrecha, las salas y la gente son cajones que se abren por encima y se cierran con Esc. */

import { $ } from "./dom.js";

export function panel(panelId, buttonId) {
  const box = $(`#${panelId}`);
  const opener = $(`#${buttonId}`);
  const veil = $("#veil");
  const set = (open) => {
    box.classList.toggle("open", open);
    opener.setAttribute("aria-expanded", String(open));
    veil.hidden = !document.querySelector(".drawer.open");
  };
  const close = (back = true) => {
    if (!box.classList.contains("open")) return;
    set(false);
    if (back) opener.focus();
  };
  opener.addEventListener("click", () => {
    const open = !box.classList.contains("open");
    set(open);
    if (open) $("button, input, a", box)?.focus();
  });
  veil.addEventListener("click", () => close());
  addEventListener("keydown", ({ key }) => key === "Escape" && !$("dialog[open]") && close());
  for (const button of box.querySelectorAll("[data-close-panel]")) button.addEventListener("click", () => close());
  return { close };
}
