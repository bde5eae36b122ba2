/* Quién escribe: se manda de vez en cuando y se olvida solo. */

import { $ } from "./dom.js";

const SEND_MS = 2000;
const SHOWN_MS = 4000;

export class Typing {
  #room = null;
  #people = new Map(); // nombre → temporizador
  #sentAt = -Infinity;

  show(room) {
    for (const timer of this.#people.values()) clearTimeout(timer);
    this.#people.clear();
    this.#room = room;
    this.#say();
  }

  /** `send` se llama como mucho cada SEND_MS. */
  mine(send) {
    if (performance.now() - this.#sentAt < SEND_MS) return;
    this.#sentAt = performance.now();
    send();
  }

  /** Lo escrito se ha enviado: lo próximo que se escriba es otra cosa, y se dice enseguida. */
  sent() {
    this.#sentAt = -Infinity;
  }

  heard({ room, user }) {
    if (room !== this.#room?.id) return;
    clearTimeout(this.#people.get(user));
    this.#people.set(user, setTimeout(() => this.stopped({ room, user }), SHOWN_MS));
    this.#say();
  }

  stopped({ room, user }) {
    if (room !== this.#room?.id || !this.#people.has(user)) return;
    clearTimeout(this.#people.get(user));
    this.#people.delete(user);
    this.#say();
  }

  #say() {
    const names = [...this.#people.keys()];
    const [one, other] = names;
    $("#typing").textContent = ["", `${one} está escribiendo…`, `${one} y ${other} están escribiendo…`][names.length]
      ?? "Varias personas están escribiendo…";
  }
}
