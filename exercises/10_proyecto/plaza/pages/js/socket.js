/* El WebSocket de Plaza: se abre con un billete, parte cada trama en líneas y reparte lo que llega por su tipo. */

import { ticket } from "./api.js";
import { freshToken, current, onRenewed } from "./session.js";

const PING_MS = 20_000;
const SILENCE_MS = 30_000;
const TOO_MANY_MS = 15_000;
const ENDED = 4001;
const WHY = {
  1009: "El servidor ha rechazado un envío demasiado grande.",
  1012: "El servidor se está reiniciando. Volvemos enseguida.",
  4008: "Esta conexión iba demasiado lenta y el servidor la ha cerrado. Al volver, recibirás lo que falte.",
  4029: "Tienes demasiadas conexiones abiertas. Cierra alguna otra pestaña o dispositivo.",
};

export class Socket {
  #handlers;
  #websocket = null;
  #goodbye = null;

  /** @param handlers  { tipo: (mensaje) => … } */
  constructor(handlers) {
    this.#handlers = {
      ...handlers,
      goodbye: ({ retry_after_ms }) => (this.#goodbye = retry_after_ms),
    };
    onRenewed((token) => this.send({ type: "renew", token }));
  }

  get ready() {
    return this.#websocket?.readyState === WebSocket.OPEN;
  }

  /** Si se ha podido entregar a la red; no dice que haya llegado. */
  send(order) {
    if (!this.ready) return false;
    this.#websocket.send(JSON.stringify(order));
    return true;
  }

  /** Lo que pide Link: abre, y acaba cuando se cierra, diciendo cuánto esperar y por qué. */
  async open({ signal, up }) {
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("ticket", await ticket());
    if (signal.aborted) return {};
    this.#goodbye = null;
    const code = await this.#talk(new WebSocket(url), signal, up);
    // Con la sesión caducada basta otro token; con la sesión cerrada no lo habrá, y se vuelve a la puerta.
    if (code === ENDED) await freshToken(current()?.access_token);
    if (this.#goodbye !== null) return { wait: this.#goodbye, why: WHY[1012] };
    return { floor: code === 4029 ? TOO_MANY_MS : 0, why: WHY[code] };
  }

  #talk(websocket, signal, up) {
    this.#websocket = websocket;
    let heardAt = performance.now();
    let working = false;
    return new Promise((done) => {
      const end = (code) => {
        clearInterval(watch);
        signal.removeEventListener("abort", cut);
        websocket.onopen = websocket.onmessage = websocket.onclose = null;
        websocket.close();
        if (this.#websocket === websocket) this.#websocket = null;
        done(code);
      };
      // Un cable desenchufado no avisa: si tras preguntar nadie contesta, se da por cortado.
      const watch = setInterval(() => {
        const silence = performance.now() - heardAt;
        if (silence > SILENCE_MS) end(1006);
        else if (silence > PING_MS) this.send({ type: "ping" });
      }, 5000);
      const cut = () => end(1006);
      signal.addEventListener("abort", cut);
      // Sirve cuando contesta: con demasiadas conexiones, el servidor acepta y enseguida cierra.
      websocket.onopen = () => this.send({ type: "ping" });
      websocket.onclose = ({ code }) => end(code);
      websocket.onmessage = ({ data }) => {
        heardAt = performance.now();
        if (!working) up();
        working = true;
        for (const line of data.split("\n")) {
          if (line.trim()) this.#receive(JSON.parse(line));
        }
      };
    });
  }

  #receive(message) {
    this.#handlers[message.type]?.(message);
  }
}
