/* Las tres vías: cada una recibe los mismos precios a su manera y apunta cuáles le faltan. */

import { socketUrl, url } from "./wires.js";

const POLL_MS = 1000;

/** Lo que sabe una vía: cuánto ha recibido, qué huecos ha visto y con cuánto retraso. */
class Lane {
  constructor(name, label) {
    Object.assign(this, { name, label, state: ["skipped", "sin empezar"], last: null, delay: null });
    this.reset();
  }

  reset() { Object.assign(this, { received: 0, lost: 0, cuts: 0 }); }

  take(tick) {
    if (this.last !== null) this.lost += Math.max(0, tick.n - this.last - 1);
    this.last = tick.n;
    this.received += 1;
    this.delay = Date.now() - tick.at;
    this.onTick?.(this);
  }

  show(verdict, text) { this.state = [verdict, text]; }
}

// region sondeo
class Polling extends Lane {
  async start() {
    for (;;) {
      const began = performance.now();
      try {
        const query = this.position === undefined ? "" : `?after=${this.position}`;
        const { ticks, last } = await (await fetch(await url("poll", `ticks${query}`))).json();
        ticks.forEach((tick) => this.take(tick));
        this.position = last;
        this.show("passed", "preguntando");
      } catch {
        this.cuts += 1;
        this.show("failed", "sin respuesta: preguntará otra vez");
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS - (performance.now() - began)));
    }
  }
}
// endregion

// region eventsource
class Streaming extends Lane {
  async start() {
    const source = new EventSource(await url("sse", "events"));
    source.onopen = () => this.show("passed", "abierto");
    source.addEventListener("tick", ({ data }) => this.take(JSON.parse(data)));
    source.onerror = () => {
      this.cuts += 1;
      if (source.readyState === EventSource.CONNECTING) this.show("running", "cortado: volverá solo");
      else this.show("failed", "cerrado: no volverá");
    };
  }
}
// endregion

class Socket extends Lane {
  async start() {
    if (this.socket && this.socket.readyState < WebSocket.CLOSING) return;
    this.socket = new WebSocket(await socketUrl("ws", "ws/ticks"));
    this.socket.onopen = () => this.show("passed", "abierto");
    this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    this.socket.onclose = ({ code }) => {
      this.cuts += 1;
      this.show("failed", `cerrado ${code}: no volverá solo`);
    };
  }
}

export const polling = new Polling("poll", "Sondeo");
export const streaming = new Streaming("sse", "SSE");
export const socket = new Socket("ws", "WebSocket");
export const lanes = [polling, streaming, socket];
