/* Lo que se ha escrito y el servidor aún no ha confirmado.
 *
 * Cada envío lleva un `client_id` y se guarda antes de salir: si se corta la red o se recarga la página, se repite con
 * el mismo, y el servidor no lo duplica. De cada sala sale uno cada vez, para que lleguen en el orden en que se dijeron.
 */

const ACK_MS = 8000;
const TRANSIENT = new Set(["rate_limited", "unavailable", "not_joined"]);

export class Outbox {
  #prefix;
  #send;
  #changed;
  #entries;
  #flying = new Map(); // sala → { id, timer }

  /**
   * @param send     (orden) => si ha salido; es quien sabe si se está en la sala
   * @param changed  (sala) => algo ha cambiado en lo pendiente de esa sala
   */
  constructor(me, send, changed) {
    this.#prefix = `plaza:pendiente:${me}:`;
    this.#send = send;
    this.#changed = changed;
    this.#entries = Object.keys(localStorage)
      .filter((key) => key.startsWith(this.#prefix))
      .map((key) => JSON.parse(localStorage.getItem(key)))
      .sort((one, other) => one.at - other.at);
  }

  of(room) {
    return this.#entries.filter((entry) => entry.room === room);
  }

  add(room, text) {
    const id = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const entry = { client_id: id, room, text, at: Date.now(), problem: null };
    this.#entries.push(entry);
    this.#save(entry);
    this.#changed(room);
    this.pump(room);
  }

  /** Envía lo siguiente de una sala, si no hay ya un envío en camino. */
  pump(room) {
    const next = this.of(room).find((entry) => !entry.problem && !entry.acked);
    if (!next || this.#flying.has(room)) return;
    if (!this.#send({ type: "send", room, text: next.text, client_id: next.client_id })) return;
    this.#fly(room, next.client_id, ACK_MS);
  }

  acked({ room, client_id }, seen) {
    this.#land(room, client_id);
    const entry = this.#find(client_id);
    if (entry) {
      entry.acked = true;
      localStorage.removeItem(this.#prefix + client_id);
      // Se sigue viendo como pendiente hasta que llegue como mensaje, si no ha llegado ya.
      if (seen) this.#drop(entry);
    }
    this.pump(room);
  }

  /** El mensaje ya está en la sala, venga por donde venga. */
  seen({ room, client_id }) {
    const entry = this.#find(client_id);
    if (!entry) return;
    this.#land(room, client_id);
    this.#drop(entry);
    this.pump(room);
  }

  refused({ room, client_id, code, detail, retry_after }) {
    const entry = this.#find(client_id);
    if (!entry) return;
    this.#land(room, client_id);
    if (TRANSIENT.has(code)) {
      this.#fly(room, client_id, 1000 * (retry_after ?? 1) + Math.random() * 300);
      return;
    }
    entry.problem = detail;
    this.#save(entry);
    this.#changed(room);
    this.pump(room);
  }

  retry(client_id) {
    const entry = this.#find(client_id);
    if (!entry) return;
    entry.problem = null;
    this.#save(entry);
    this.#changed(entry.room);
    this.pump(entry.room);
  }

  discard(client_id) {
    const entry = this.#find(client_id);
    if (entry) this.#drop(entry);
  }

  /** Se ha cortado: lo que estuviera en camino puede haber llegado o no; se repetirá al volver a entrar. */
  disconnected() {
    for (const { timer } of this.#flying.values()) clearTimeout(timer);
    this.#flying.clear();
  }

  #fly(room, id, ms) {
    const timer = setTimeout(() => {
      this.#flying.delete(room);
      this.pump(room);
    }, ms);
    this.#flying.set(room, { id, timer });
  }

  #land(room, id) {
    const flight = this.#flying.get(room);
    if (flight?.id !== id) return;
    clearTimeout(flight.timer);
    this.#flying.delete(room);
  }

  #find(client_id) {
    return this.#entries.find((entry) => entry.client_id === client_id);
  }

  #save(entry) {
    localStorage.setItem(this.#prefix + entry.client_id, JSON.stringify(entry));
  }

  #drop(entry) {
    localStorage.removeItem(this.#prefix + entry.client_id);
    this.#entries = this.#entries.filter((each) => each !== entry);
    this.#changed(entry.room);
  }
}
