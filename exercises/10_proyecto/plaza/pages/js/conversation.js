/* La sala abierta y todo lo que se ve de ella. */

import { $ } from "./dom.js";
import { complain, trying } from "./toast.js";

const AGAIN_MS = 2000;
const JUMP_PAGE = 200;
const JUMP_PAGES = 15; // hasta dónde se retrocede para enseñar un mensaje antiguo

export class Conversation {
  room = null;
  #parts; // { me, town, outbox, timeline, composer, typing, presence, onChange(sala) }

  constructor(parts) {
    this.#parts = parts;
  }

  open(room) {
    if (room === this.room) return;
    const { town, timeline, composer, typing, presence, onChange } = this.#parts;
    this.room = room;
    $("#room-name").textContent = room.name;
    this.#reveal(true);
    town.visit(room);
    timeline.show(room);
    composer.show(room);
    typing.show(room);
    presence.show(room);
    history.replaceState(null, "", `#sala=${room.id}`);
    this.load();
    onChange(room);
  }

  close() {
    const { composer, presence, onChange } = this.#parts;
    this.room = null;
    this.#reveal(false);
    composer.show(null);
    presence.show(null);
    history.replaceState(null, "", location.pathname);
    onChange(null);
  }

  /** Lee su historial, si aún no se ha leído o ya no vale. */
  async load() {
    const { me, outbox, timeline, onChange } = this.#parts;
    const { room } = this;
    if (!room?.position || room.loaded) return;
    try {
      await room.load();
    } catch (problem) {
      complain(problem);
      setTimeout(() => room === this.room && this.load(), AGAIN_MS);
      return;
    }
    room.messages.filter(({ user }) => user === me).forEach((message) => outbox.seen(message));
    if (room !== this.room || !room.loaded) return;
    timeline.show(room);
    onChange(room);
  }

  /** Abre una sala por un mensaje: si hace falta, lee hacia atrás hasta dar con él. */
  goTo = trying(async (room, messageId) => {
    const { timeline } = this.#parts;
    this.open(room);
    if (!messageId || !(await positioned(room))) return;
    await room.load();
    timeline.hold();
    for (let page = 0; !room.find(messageId) && page < JUMP_PAGES; page += 1) {
      if (!(await room.older(JUMP_PAGE))) break;
    }
    timeline.reveal(messageId);
  });

  #reveal(open) {
    $("#no-room").hidden = open;
    $("#conversation-body").hidden = !open;
    $("#room-menu").hidden = !open;
    if (!open) $("#room-name").textContent = "Plaza";
  }
}

/** Espera, con un plazo, a que el servidor haya contestado a la entrada en la sala. */
async function positioned(room, patience = 50) {
  for (let turn = 0; !room.position && turn < patience; turn += 1) await new Promise((done) => setTimeout(done, 100));
  return room.position !== null;
}
