/* Lo que se dice de pasada, arriba a la derecha: un lector de pantalla también lo oye. */

import { $, button, element } from "./dom.js";
import { icon } from "./icons.js";

const SHOWN_MS = 7000;
const MOST = 3;

/** @param action  { text, work }, si se puede hacer algo con lo dicho */
export function toast(text, { tone = "", action } = {}) {
  const item = element("div", `toast ${tone}`, element("p", "", text));
  const close = button("", "quiet small", () => item.remove());
  close.append(icon("close"));
  close.setAttribute("aria-label", "Cerrar");
  if (action) {
    item.append(button(action.text, "small", () => {
      item.remove();
      action.work();
    }));
  }
  item.append(close);
  const place = $("#toasts");
  place.append(item);
  while (place.children.length > MOST) place.firstElementChild.remove();
  setTimeout(() => item.remove(), SHOWN_MS);
}

export const complain = (problem) => toast(problem.message, { tone: "bad" });

/** Hace algo y, si no se puede, dice por qué. */
export const trying = (work) => async (...given) => {
  try {
    return await work(...given);
  } catch (problem) {
    return complain(problem);
  }
};
