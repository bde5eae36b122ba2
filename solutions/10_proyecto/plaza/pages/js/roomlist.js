/* La columna de salas: cuáles hay, cuál está abierta y cuánto queda por leer en cada una. */

import { $, button, element } from "./dom.js";
import { icon } from "./icons.js";

export class RoomList {
  #place = $("#rooms");
  #onOpen;
  #buttons = new Map();

  constructor(onOpen) {
    this.#onOpen = onOpen;
  }

  show(rooms, open) {
    const had = document.activeElement?.dataset?.room;
    this.#buttons.clear();
    const open_to_all = rooms.filter((room) => !room.private);
    const closed = rooms.filter((room) => room.private);
    this.#place.replaceChildren(...this.#group("Públicas", open_to_all, open), ...this.#group("Privadas", closed, open));
    if (!rooms.length) this.#place.append(element("p", "soft small", "Aún no hay ninguna sala. Crea la primera."));
    if (had) this.#buttons.get(Number(had))?.focus();
    const unread = rooms.reduce((total, room) => total + room.unread, 0);
    document.title = `${unread ? `(${unread}) ` : ""}${open ? `${open.name} · ` : ""}Plaza`;
    $("#drawer-count").hidden = !rooms.some((room) => room.unread && room !== open);
  }

  #group(title, rooms, open) {
    if (!rooms.length) return [];
    const list = element("ul", "room-list", ...rooms.map((room) => element("li", "", this.#entry(room, room === open))));
    return [element("h3", "", title), list];
  }

  #entry(room, current) {
    const created = button("", "room quiet", () => this.#onOpen(room));
    created.append(icon(room.private ? "lock" : "hash"), element("span", "room-name", room.name));
    created.dataset.room = room.id;
    if (current) created.setAttribute("aria-current", "true");
    if (room.unread) {
      created.classList.add("unread");
      const count = room.unread > 99 ? "99+" : String(room.unread);
      created.append(element("span", "count", count, element("span", "visually-hidden", " sin leer")));
    }
    this.#buttons.set(room.id, created);
    return created;
  }
}
