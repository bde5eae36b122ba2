/* Hasta dónde se ha leído: se dice al servidor solo si la sala se está viendo de verdad, y no más de una vez por segundo. */

import { throttle } from "./dom.js";

export class Reading {
  #told = new Map(); // sala → último número dicho
  #due = new Map(); // sala → lo leído y aún por decir, aunque ya se esté mirando otra
  #visible;
  #tell;

  /**
   * @param visible  () => la sala que se está viendo hasta el final, o null
   * @param send     (orden) => si ha salido
   * @param onRead   (sala) => ya no tiene nada por leer
   */
  constructor(visible, send, onRead) {
    this.#visible = visible;
    this.#tell = throttle(1000, () => {
      for (const [room, seq] of this.#due) {
        if (send({ type: "read", room, seq })) {
          this.#told.set(room, seq);
          this.#due.delete(room);
        }
      }
    });
    this.look = () => {
      const room = this.#visible();
      if (!room) return;
      const before = room.unread;
      room.read();
      if (before) onRead(room);
      if (room.readSeq > (this.#told.get(room.id) ?? 0)) this.#due.set(room.id, room.readSeq);
      this.#tell();
    };
    document.addEventListener("visibilitychange", this.look);
    addEventListener("focus", this.look);
  }
}
