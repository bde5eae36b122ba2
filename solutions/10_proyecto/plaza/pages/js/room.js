/* Una sala tal como la conoce este navegador: sus mensajes, hasta dónde ha llegado y cuánto queda por leer.
 *
 * Cada suceso trae su número. Se aplica si es justo el siguiente; si ya se tenía, se ignora; si falta alguno antes, se
 * vuelve a entrar en la sala con la posición y el servidor cuenta lo que falta.
 */

import { get } from "./api.js";

const PAGE = 50;
const MOST = 600; // mensajes que se recuerdan de una sala; los anteriores se vuelven a pedir
const KEPT = 300;

export class Room {
  position = null; // { epoch, seq } de lo último aplicado
  messages = [];
  nextBefore = null;
  loaded = false;
  joined = false; // en la conexión de ahora
  asked = false; // se ha pedido entrar y aún no han contestado
  members = new Map(); // nombre → si está
  unread = 0;
  readSeq = 0; // hasta dónde se ha leído aquí; el servidor se entera un poco después
  #loading = null;
  #early = []; // sucesos que llegan mientras se lee el historial
  #uncounted = []; // números de mensajes ajenos llegados en vivo y sin leer

  constructor(info) {
    this.update(info);
  }

  /** Lo que dice el servidor en su lista; se le suma lo llegado después de que contara. */
  update({ id, name, private: closed, member_count, unread, last_seq, role }) {
    Object.assign(this, { id, name, private: closed, memberCount: member_count, role });
    this.#uncounted = this.#uncounted.filter((seq) => seq > last_seq);
    this.unread = (this.readSeq >= last_seq ? 0 : unread) + this.#uncounted.length;
  }

  /** Respuesta a «join». Devuelve si hay que volver a leer el historial. */
  enter({ epoch, seq, recovered, member_count, members }) {
    this.joined = true;
    this.asked = false;
    this.memberCount = member_count;
    this.members = new Map(members.map(({ username, online }) => [username, online]));
    if (recovered) return false;
    this.position = { epoch, seq };
    this.loaded = false;
    this.#loading = null;
    return true;
  }

  /** Un suceso de la secuencia: «new», «old» si ya se tenía o «gap» si antes falta otro. */
  take(event, me) {
    if (!this.position || event.seq <= this.position.seq) return "old";
    if (event.seq > this.position.seq + 1) return "gap";
    this.position.seq = event.seq;
    if (event.type === "message" && event.user !== me) {
      this.unread += 1;
      this.#uncounted.push(event.seq);
    }
    if (this.#loading) this.#early.push(event);
    else if (this.loaded) this.#apply(event);
    return "new";
  }

  /** Lee lo último del historial, hasta la posición: lo que venga después llega por el WebSocket. */
  load() {
    if (!this.position || this.loaded) return Promise.resolve();
    if (!this.#loading) {
      this.#early = [];
      const reading = this.#read(() => this.#loading === reading);
      this.#loading = reading;
    }
    return this.#loading;
  }

  /** `current`: si entretanto no se ha empezado otra lectura, desde otra posición. */
  async #read(current) {
    try {
      const page = await get(`/api/rooms/${this.id}/messages?before=${this.position.seq + 1}&limit=${PAGE}`);
      if (current()) this.#fill(page);
    } finally {
      if (current()) this.#loading = null;
    }
  }

  #fill(page) {
    this.messages = page.messages;
    this.nextBefore = page.next_before;
    this.loaded = true;
    this.#early.splice(0).forEach((event) => this.#apply(event));
  }

  /** La página anterior del historial. Devuelve si había. */
  async older(limit = PAGE) {
    const before = this.nextBefore;
    if (before === null || !this.loaded) return false;
    const page = await get(`/api/rooms/${this.id}/messages?before=${before}&limit=${limit}`);
    if (this.nextBefore !== before) return true;
    this.messages.unshift(...page.messages);
    this.nextBefore = page.next_before;
    return true;
  }

  /** Si alguien está. Quien no estaba en la lista es que acaba de entrar en la sala. */
  notice(name, online) {
    this.members.set(name, online);
    this.memberCount = Math.max(this.memberCount, this.members.size);
  }

  find(id) {
    return this.messages.find((message) => message.id === id);
  }

  read() {
    this.readSeq = this.position?.seq ?? 0;
    this.unread = 0;
    this.#uncounted = [];
  }

  forget() {
    if (this.messages.length <= MOST) return;
    this.messages.splice(0, this.messages.length - KEPT);
    this.nextBefore = this.messages[0].seq;
  }

  #apply({ type, ...event }) {
    if (type === "message") {
      this.messages.push(event);
      return;
    }
    const message = this.find(event.id);
    if (!message) return; // es anterior a lo que se ha leído
    message.text = event.text;
    if (type === "deleted") message.deleted = true;
    else message.edited_at = new Date().toISOString();
  }
}
