/* Un panel: lo que ha recibido por su vía, cuándo, y lo que dice de él su contador. */

import { $, decimal, duration, element, median, size, whole } from "./dom.js";

const births = new Map(); // número de cambio → cuándo ocurrió en el servidor, en ms
const KEPT = 400;
export const UNREAD = { connections: 0, open: 0, requests: 0, up: 0, down: 0, last_up: "", last_down: "" };

export class Pane {
  constructor(key, transport, onDelay) {
    Object.assign(this, { key, transport, onDelay, number: 0, reading: UNREAD, stop: null });
    this.card = $("#pane").content.cloneNode(true).firstElementChild;
    this.card.id = `pane-${key}`;
    $("h2", this.card).textContent = transport.name;
    $(".how", this.card).textContent = transport.how;
    $(".toggle", this.card).setAttribute("aria-label", `Parar o seguir: ${transport.name}`);
    this.reset();
    $("#panes").append(this.card);
  }

  start(place, settings) {
    this.stop?.();
    this.number = 0;
    this.online = false;
    this.stop = this.transport.start(this, place, settings);
    $(".toggle", this.card).textContent = "Parar";
    this.showState();
  }

  halt() {
    this.stop?.();
    this.stop = null;
    this.online = false;
    $(".toggle", this.card).textContent = "Seguir";
  }

  /** Empieza a contar de nuevo desde ahora. */
  reset() {
    this.since = this.reading;
    Object.assign(this, { seen: 0, skipped: 0, useless: 0, delays: [] });
    this.showCounts();
  }

  receive(quote) {
    this.online = true;
    births.set(quote.number, quote.at * 1000);
    if (births.size > KEPT) births.delete(births.keys().next().value);
    if (quote.number === this.number) { this.useless += 1; return; }
    if (this.number && quote.number > this.number) this.count(quote);
    this.number = quote.number;
    $(".value", this.card).textContent = decimal(quote.price, 2);
    $(".number", this.card).textContent = `cambio ${whole(quote.number)}`;
  }

  count(quote) {
    const delay = Math.max(Date.now() - quote.at * 1000, 0);
    this.seen += 1;
    this.skipped += quote.number - this.number - 1;
    this.delays.push(delay);
    if (this.delays.length > KEPT) this.delays.shift();
    this.onDelay(this.transport.name, delay);
  }

  lost() { this.online = false; }

  /** Lo contado en el cable desde la última puesta a cero. */
  get crossed() {
    const { requests, connections, up, down } = this.reading;
    return { requests: requests - this.since.requests, connections: connections - this.since.connections, up: up - this.since.up, down: down - this.since.down };
  }

  measure(reading) {
    this.reading = reading;
    this.showCounts();
    if (!$("details", this.card).open) return;
    $("pre.up", this.card).textContent = reading.last_up.trim();
    $("pre.down", this.card).textContent = reading.last_down.trim();
  }

  showCounts() {
    const { requests, connections, up, down } = this.crossed;
    const last = this.delays.at(-1), middle = median(this.delays);
    const rows = [
      ["Peticiones", whole(requests), "requests"], ["Conexiones TCP", whole(connections), "connections"],
      ["Bytes ↑", size(up), "up"], ["Bytes ↓", size(down), "down"],
      ["Cambios vistos", whole(this.seen), "seen"], ["Cambios sin ver", whole(this.skipped), "skipped"],
      ["Último retraso", this.seen ? duration(last) : "–", "last"], ["Retraso mediano", this.seen ? duration(middle) : "–", "median"],
    ];
    $("dl", this.card).replaceChildren(...rows.flatMap(([name, value, key]) => {
      const shown = element("dd", "", value);
      shown.dataset.count = key;
      return [element("dt", "", name), shown];
    }));
  }

  /** ¿Sabe ya este panel lo último que ha pasado? Si no, desde hace cuánto está atrasado. */
  showState() {
    const missed = [...births].find(([number]) => number > this.number);
    const late = missed && this.number ? Date.now() - missed[1] : 0;
    const [badge, text] = !this.stop ? ["skipped", "parado"] : !this.online ? ["running", "conectando"]
      : late > 0 ? ["failed", `atrasado ${decimal(late / 1000)} s`] : ["passed", "al día"];
    const state = $(".state", this.card);
    if (state.textContent !== text) state.textContent = text;
    state.className = `badge state ${badge}`;
    this.card.classList.toggle("fresh", badge === "passed");
    this.card.classList.toggle("stale", badge === "failed");
  }
}
