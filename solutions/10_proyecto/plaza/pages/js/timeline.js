/* La conversación de la sala abierta: pinta lo que ha cambiado, mantiene el sitio donde se está leyendo y, al subir,
 * pide lo anterior. */

import { $, arrange, day, element } from "./dom.js";
import { messageNode, pendingNode, version } from "./message.js";

const NEAR = 48;
const AGAIN_MS = 3000;
const TOGETHER_MS = 5 * 60 * 1000;

export class Timeline {
  #list = $("#messages");
  #scroller = $("#scroller");
  #jump = $("#jump");
  #context; // { me, outbox, onMenu(room, message, botón), onOlder(room), onSeen() }
  #room = null;
  #nodes = new Map(); // clave → { node, version }
  #firstNew = null;
  #pinned = true;
  #unseen = 0;
  #waiting = false;
  #fetching = false;

  constructor(context) {
    this.#context = context;
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#list.addEventListener("keydown", (event) => this.#key(event));
    this.#scroller.addEventListener("keydown", (event) => event.target === this.#scroller && this.#key(event));
    this.#jump.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.#pinned && this.#bottom()).observe(this.#scroller);
  }

  get atEnd() {
    return this.#pinned;
  }

  show(room) {
    this.#room = room;
    this.#nodes.clear();
    this.#pinned = true;
    this.#unseen = 0;
    this.#list.replaceChildren();
    // La raya de «nuevos» se queda donde estaba al entrar.
    const others = room.messages.filter(({ user }) => user !== this.#context.me);
    this.#firstNew = room.unread && room.loaded ? others.at(-room.unread)?.id ?? null : null;
    this.#paint();
  }

  /** Algo ha cambiado: se pinta una vez por fotograma, por muchos mensajes que lleguen. */
  changed(room, arrived = 0) {
    if (room !== this.#room) return;
    if (!this.#pinned) this.#unseen += arrived;
    if (this.#waiting) return;
    this.#waiting = true;
    const paint = () => {
      this.#waiting = false;
      this.#paint();
    };
    if (document.hidden) setTimeout(paint, 250);
    else requestAnimationFrame(paint);
  }

  toEnd() {
    this.#pinned = true;
    this.#paint();
  }

  /** No sigas al último: se está leyendo más arriba. */
  hold() {
    this.#pinned = false;
  }

  /** Lleva hasta un mensaje ya cargado. Devuelve si está. */
  reveal(id) {
    this.hold();
    this.#paint();
    const node = this.#nodes.get(`m${id}`)?.node;
    if (!node) return false;
    node.scrollIntoView({ block: "center" });
    node.focus({ preventScroll: true });
    node.classList.add("found");
    setTimeout(() => node.classList.remove("found"), 2500);
    return true;
  }

  #paint() {
    const room = this.#room;
    if (!room) return;
    if (this.#pinned) room.forget();
    const anchor = this.#pinned ? null : this.#firstVisible();
    const before = anchor?.offsetTop;
    arrange(this.#list, this.#wanted(room));
    $("#start").hidden = !room.loaded || room.nextBefore !== null;
    $("#start").textContent = room.messages.length ? "Aquí empieza la conversación" : "Aún no se ha dicho nada. Empieza tú.";
    $("#loading").hidden = room.loaded;
    if (this.#pinned) this.#bottom();
    else if (anchor?.isConnected) this.#scroller.scrollTop += anchor.offsetTop - before;
    this.#jump.hidden = this.#pinned;
    $("#jump-words").textContent = this.#unseen ? `${this.#unseen} sin ver` : "Ir al final";
    this.#fill();
  }

  #wanted(room) {
    const { me, outbox, onMenu } = this.#context;
    const nodes = [];
    const kept = new Map();
    let previous = null;
    const add = (key, stamp, make) => {
      const known = this.#nodes.get(key);
      const entry = known?.version === stamp ? known : { node: make(), version: stamp };
      kept.set(key, entry);
      nodes.push(entry.node);
    };
    const divide = (sent_at) => {
      const date = new Date(sent_at).toDateString();
      if (previous && new Date(previous.sent_at).toDateString() === date) return false;
      add(`d${date}`, day(sent_at), () => element("li", "day", element("span", "", day(sent_at))));
      return true;
    };
    for (const message of room.messages) {
      let apart = divide(message.sent_at);
      if (message.id === this.#firstNew) {
        add("new", "", () => element("li", "day new", element("span", "", "Nuevos")));
        apart = true;
      }
      const follows = !apart && together(previous, message);
      const make = () => messageNode(message, { me, follows, onMenu: (button) => onMenu(room, message, button) });
      add(`m${message.id}`, version(message, follows), make);
      previous = message;
    }
    for (const entry of outbox.of(room.id)) {
      const message = { user: me, sent_at: new Date(entry.at).toISOString() };
      const follows = !divide(message.sent_at) && together(previous, message);
      const stamp = `${entry.problem}${follows}`;
      add(`p${entry.client_id}`, stamp, () => pendingNode(entry, { me, follows, outbox }));
      previous = message;
    }
    this.#nodes = kept;
    return nodes;
  }

  #firstVisible() {
    const top = this.#scroller.scrollTop;
    return [...this.#list.children].find((node) => node.offsetTop + node.offsetHeight > top);
  }

  #bottom() {
    this.#unseen = 0;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    this.#pinned = scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.#pinned) {
      this.#unseen = 0;
      this.#context.onSeen();
    }
    this.#jump.hidden = this.#pinned;
    this.#fill();
  }

  /** Cerca del principio, o si no llena la pantalla, se pide lo anterior. */
  async #fill() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const room = this.#room;
    const near = scrollTop < 300 || scrollHeight <= clientHeight;
    if (!near || this.#fetching || !room.loaded || room.nextBefore === null) return;
    this.#fetching = true;
    const answered = await this.#context.onOlder(room);
    setTimeout(() => (this.#fetching = false), answered === undefined ? AGAIN_MS : 0);
    if (answered !== undefined) this.changed(room);
  }

  #key(event) {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    const here = document.activeElement.closest(".message");
    if (event.key === "Enter" && here === event.target) here.querySelector(".more, .fate button")?.click();
    else if (event.key === "End") this.toEnd();
    else if (step) {
      let next = here ? here[step] : this.#list.lastElementChild;
      while (next && !next.matches(".message")) next = next[step];
      next?.focus();
    } else return;
    event.preventDefault();
  }
}

function together(previous, message) {
  if (!previous || previous.user !== message.user) return false;
  return new Date(message.sent_at) - new Date(previous.sent_at) < TOGETHER_MS;
}
