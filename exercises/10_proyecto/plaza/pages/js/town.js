/* Las salas que se ven y en cuáles se está: en las que se es miembro. Entrar en una pública es hacerse miembro, así que en
 * las demás no se entra hasta que alguien las abre. */

import { get } from "./api.js";
import { Room } from "./room.js";

const MOST = 50; // salas por conexión

export class Town {
  rooms = new Map();
  #send;
  #key;
  #visited;
  #asked = 0;
  #applied = 0;

  constructor(me, send) {
    this.#send = send;
    this.#key = `plaza:visitadas:${me}`;
    this.#visited = new Set(JSON.parse(localStorage.getItem(this.#key) ?? "[]"));
  }

  get all() {
    return [...this.rooms.values()];
  }

  get last() {
    return this.rooms.get([...this.#visited].at(-1));
  }

  /** Lo que el servidor dice que puedo ver. Las que ya no están, se olvidan. */
  async refresh() {
    const turn = ++this.#asked;
    const list = await get("/api/rooms");
    // Dos a la vez pueden contestar en otro orden: una lista más antigua no borra lo que ya dijo otra.
    if (turn < this.#applied) return;
    this.#applied = turn;
    const seen = new Set();
    for (const info of list) {
      seen.add(info.id);
      const known = this.rooms.get(info.id);
      if (known) known.update(info);
      else this.rooms.set(info.id, new Room(info));
    }
    for (const id of [...this.rooms.keys()]) if (!seen.has(id)) this.rooms.delete(id);
    this.joinAll();
  }

  visit(room) {
    this.#visited.delete(room.id);
    this.#visited.add(room.id);
    this.#remember();
    this.join(room);
  }

  left(room) {
    room.joined = false;
    room.asked = false;
    this.#visited.delete(room.id);
    this.#remember();
  }

  joinAll() {
    const visited = [...this.#visited].reverse().map((id) => this.rooms.get(id)).filter(Boolean);
    const mine = this.all.filter((room) => room.role);
    for (const room of [...new Set([...visited, ...mine])].slice(0, MOST)) this.join(room);
  }

  /** Entra, diciendo hasta dónde se sabe. */
  join(room) {
    if (!room.joined) this.catchUp(room);
  }

  /** Vuelve a entrar aunque ya se esté: el servidor contará lo que falte. */
  catchUp(room) {
    if (!room.asked) room.asked = this.#send({ type: "join", room: room.id, position: room.position });
  }

  disconnected() {
    for (const room of this.all) room.joined = room.asked = false;
  }

  #remember() {
    localStorage.setItem(this.#key, JSON.stringify([...this.#visited].slice(-MOST)));
  }
}
