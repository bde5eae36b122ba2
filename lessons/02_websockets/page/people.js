/* Ana y Luis: cada una con su WebSocket, lo que ve y lo que puede hacer mal. */

import { open } from "./connection.js";
import { $, appendTo, decimal, element, shorten } from "./dom.js";

class Person {
  constructor(name, greeting) {
    this.name = name;
    this.attempts = 0;
    this.card = $("#person").content.cloneNode(true).firstElementChild;
    this.card.id = `person-${name}`;
    $("h2", this.card).textContent = name;
    $("input", this.card).value = greeting;
    $("input", this.card).setAttribute("aria-label", `Mensaje de ${name}`);
    $(".messages", this.card).setAttribute("aria-label", `Lo que ve ${name}`);
    $("[role=group]", this.card).setAttribute("aria-label", `Otros envíos de ${name}`);
    $("form", this.card).addEventListener("submit", (event) => this.submit(event));
    for (const button of this.card.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => actions[button.dataset.do](this));
    }
    $("#people").append(this.card);
  }

  submit(event) {
    event.preventDefault();
    const input = $("input", this.card);
    if (input.value) this.say(input.value);
    input.value = "";
  }

  say(text) { this.send(JSON.stringify({ type: "say", text })); }

  send(data) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(data);
    else this.note("No hay conexión: pulsa «Reconectar».", "bad");
  }

  async connect() {
    clearTimeout(this.retry);
    if (this.socket && this.socket.readyState < WebSocket.CLOSING) return;
    this.show("running", "conectando");
    const query = new URLSearchParams({ name: this.name });
    if ($("#deflate").checked) query.set("deflate", "1");
    try {
      this.listen(await open(`ws/chat?${query}`));
    } catch {
      this.gone("El servidor no contesta: arráncalo de nuevo.");
    }
  }

  listen(socket) {
    this.socket = socket;
    let opened = false;
    socket.onopen = () => { opened = true; this.attempts = 0; this.show("passed", "conectada"); };
    socket.onmessage = ({ data }) => this.read(JSON.parse(data));
    socket.onclose = ({ code, reason, wasClean }) => {
      if (!opened) return this.gone("El navegador ve 1006 y nada más. El porqué está en el cable (¿otra pestaña con este chat?).", code);
      this.gone(`El navegador ve ${code}${reason ? ` «${reason}»` : ""}${wasClean ? "" : ": sin trama de cierre"}.`, code);
    };
  }

  gone(text, code) {
    this.cable = null;
    const asAgreed = code === 1000;
    this.show(asAgreed ? "skipped" : "failed", code ? `cerrada ${code}` : "sin servidor");
    this.note(text, asAgreed ? "event" : "bad");
    if ($(".auto", this.card).checked) this.retryLater();
  }

  // region reconectar
  /** Espera creciente con azar: si mil clientes caen a la vez, no vuelven a la vez. */
  retryLater() {
    const ceiling = Math.min(30, 0.5 * 2 ** this.attempts);
    const wait = ceiling * Math.random();
    this.attempts += 1;
    this.note(`Intento ${this.attempts}: dentro de ${decimal(wait)} s (al azar, hasta ${decimal(ceiling)}).`, "event");
    this.retry = setTimeout(() => this.connect(), wait * 1000);
  }
  // endregion

  read(message) {
    if (message.type === "said") this.note(`${message.number}. ${message.name}: ${shorten(message.text)}`, message.name === this.name ? "up" : "down");
    else if (message.type === "joined") this.note(`Entra ${message.name}. Están: ${message.people.join(", ")}.`, "event");
    else if (message.type === "left") this.note(`Se va ${message.name}: el servidor vio ${message.code}.`, "event");
    else if (message.type === "error") this.note(`Error ${message.reason}: ${message.detail}. La conexión sigue.`, "bad");
    else this.note(`Llega ${message.type}.`, "event");
  }

  owns(cable) {
    this.cable = cable;
    $(".cable", this.card).textContent = `cable ${cable}`;
  }

  note(text, kind) { appendTo($(".messages", this.card), element("li", kind, text), 100); }

  show(verdict, text) {
    const badge = $(".state", this.card);
    badge.className = `badge state ${verdict}`;
    badge.textContent = text;
  }
}

const actions = {
  send200: (person) => person.say("a".repeat(200)),
  send70k: (person) => person.say("a".repeat(70_000)),
  ping: (person) => person.send(JSON.stringify({ type: "ping" })),
  badJson: (person) => person.send('{"type": "say", "text": '),
  binary: (person) => person.send(new Uint8Array([0xde, 0xad, 0xbe, 0xef])),
  tooBig: (person) => person.send("a".repeat(100_001)),
  flood: (person) => { for (let i = 0; i < 60; i++) person.send(JSON.stringify({ type: "ping" })); },
  close: (person) => person.socket?.close(1000, "me voy"),
  connect: (person) => person.connect(),
  cut: (person) => {
    if (person.cable && person.socket?.readyState === WebSocket.OPEN) fetch(`api/connections/${person.cable}/cut`, { method: "POST" });
    else person.note("No hay cable que cortar: pulsa «Reconectar».", "bad");
  },
  intruder: async (person) => {
    const second = await open(`ws/chat?${new URLSearchParams({ name: person.name })}`);
    second.onopen = () => second.close(1000);
    second.onclose = ({ code }) => person.note(code === 1000
      ? "El nombre estaba libre: conecta primero a esta persona."
      : `Otra conexión con este nombre: el navegador ve ${code}; mira el 403 en el cable.`, "event");
  },
};

export const people = [new Person("Ana", "¡Hola, Luis!"), new Person("Luis", "Hola, Ana. ¿Ves los bytes?")];
