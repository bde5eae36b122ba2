/* La gente de la sala abierta: quién está, con un punto y con palabras. */

import { $, avatar, button, element } from "./dom.js";

export class Presence {
  #list = $("#people");
  #context; // { me, onMenu(nombre, botón) }

  constructor(context) {
    this.#context = context;
  }

  show(room) {
    const names = [...(room?.members ?? [])].sort(([one], [other]) => one.localeCompare(other, "es"));
    const here = names.filter(([, online]) => online);
    const away = names.filter(([, online]) => !online);
    this.#list.replaceChildren(...this.#group("En línea", here, true), ...this.#group("Desconectados", away, false));
    const unseen = (room?.memberCount ?? 0) - names.length;
    if (unseen > 0) this.#list.append(element("p", "soft small", `y ${unseen} más`));
    const total = room?.memberCount === 1 ? "1 miembro" : `${room?.memberCount} miembros`;
    const count = names.length ? `${total} · ${here.length} en línea` : "";
    $("#room-people").textContent = count;
  }

  #group(title, people, online) {
    if (!people.length) return [];
    const list = element("ul", "people", ...people.map(([name]) => this.#person(name, online)));
    return [element("h3", "", `${title} · ${people.length}`), list];
  }

  #person(name, online) {
    const mine = name === this.#context.me;
    const dot = element("span", `dot ${online ? "online" : ""}`);
    const words = element("span", "visually-hidden", online ? ", en línea" : ", sin conexión");
    const face = element("span", "face", avatar(name), dot);
    if (mine) return element("li", "", element("span", "person", face, element("span", "", `${name} (tú)`), words));
    const open = button("", "person quiet", () => this.#context.onMenu(name, open));
    open.append(face, element("span", "", name), words);
    open.setAttribute("aria-haspopup", "menu");
    open.setAttribute("aria-expanded", "false");
    return element("li", "", open);
  }
}
