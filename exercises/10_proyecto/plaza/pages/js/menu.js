/* Un menú pequeño junto a un botón: flechas para moverse, Intro para elegir, Esc para cerrarlo y volver. */

import { button, element } from "./dom.js";

const MARGIN = 8;
let open = null;

/** @param items  [{ text, danger?, work }] */
export function openMenu(anchor, items, label = "Acciones") {
  open?.close(false);
  const menu = element("div", "menu", ...items.map((item) => entry(item)));
  menu.setAttribute("role", "menu");
  menu.setAttribute("aria-label", label);
  anchor.setAttribute("aria-expanded", "true");

  const close = (back = true) => {
    if (open?.menu !== menu) return;
    open = null;
    menu.remove();
    anchor.setAttribute("aria-expanded", "false");
    removeEventListener("pointerdown", outside, true);
    removeEventListener("resize", close);
    if (back) anchor.focus();
  };
  const outside = ({ target }) => menu.contains(target) || close(false);
  menu.addEventListener("keydown", (event) => move(event, menu, close));
  menu.addEventListener("click", () => close());
  addEventListener("pointerdown", outside, true);
  addEventListener("resize", close);

  open = { menu, close };
  document.body.append(menu);
  place(menu, anchor.getBoundingClientRect());
  menu.firstElementChild?.focus();
}

function entry({ text, danger, work }) {
  // Primero se cierra y el foco vuelve a su sitio; después se hace lo elegido, que puede abrir un diálogo.
  const created = button(text, danger ? "danger" : "", () => queueMicrotask(work));
  created.setAttribute("role", "menuitem");
  created.tabIndex = -1;
  return created;
}

function place(menu, near) {
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = near.bottom + height + MARGIN < innerHeight;
  menu.style.top = `${Math.max(MARGIN, below ? near.bottom + 4 : near.top - height - 4)}px`;
  menu.style.left = `${Math.max(MARGIN, Math.min(near.right - width, innerWidth - width - MARGIN))}px`;
}

function move(event, menu, close) {
  const entries = [...menu.children];
  const at = entries.indexOf(document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1 + entries.length, Home: 0, End: entries.length - 1 }[event.key];
  if (event.key === "Escape" || event.key === "Tab") close();
  else if (next !== undefined) entries[next % entries.length].focus();
  else return;
  event.preventDefault();
  event.stopPropagation();
}
