/* Decir cómo ha ido algo, junto a lo que se ha pulsado. */

import { announce, el } from "./dom.js";

/** Una nota al lado del botón, que además se oye. */
export function tell(button, text, kind = "") {
  button.parentElement.querySelector(".told")?.remove();
  const note = el("span", { class: `told small ${kind}`.trim() }, text);
  button.after(note);
  announce(text);
  return note;
}
