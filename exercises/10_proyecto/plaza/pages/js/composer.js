/* Donde se escribe: Intro envía, Mayús+Intro salta de línea, flecha arriba corrige lo último y Esc lo deja estar. */

import { $ } from "./dom.js";

const MOST = 4000;
const WARN = 3600;

export class Composer {
  #form = $("#composer");
  #box = $("#text");
  #work; // { onSend(texto), onEdit(mensaje, texto), onTyping(), lastMine() }
  #drafts = new Map();
  #room = null;
  #editing = null;

  constructor(work) {
    this.#work = work;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    this.#box.addEventListener("input", () => {
      this.#fit();
      if (this.#box.value.trim() && !this.#editing) this.#work.onTyping();
    });
    $("#edit-cancel").addEventListener("click", () => this.#stopEditing());
  }

  /** Cada sala recuerda lo que se estaba escribiendo en ella. */
  show(room) {
    if (this.#editing) this.#stopEditing();
    if (this.#room !== null) this.#drafts.set(this.#room, this.#box.value);
    this.#room = room?.id ?? null;
    this.#box.value = this.#drafts.get(this.#room) ?? "";
    this.#box.disabled = $("#send").disabled = !room;
    this.#box.placeholder = room ? `Escribe en ${room.name}` : "Elige una sala";
    this.#fit();
  }

  focus() {
    this.#box.focus();
  }

  edit(message) {
    this.#drafts.set(this.#room, this.#editing ? this.#drafts.get(this.#room) : this.#box.value);
    this.#editing = message;
    $("#editing").hidden = false;
    this.#box.value = message.text;
    this.#fit();
    this.focus();
  }

  #stopEditing() {
    this.#editing = null;
    $("#editing").hidden = true;
    this.#box.value = this.#drafts.get(this.#room) ?? "";
    this.#fit();
    this.focus();
  }

  async #submit() {
    const text = this.#box.value.trim();
    if (!text || this.#excess() > 0) return;
    if (this.#editing) {
      const message = this.#editing;
      if (text === message.text || (await this.#work.onEdit(message, text))) this.#stopEditing();
      return;
    }
    this.#box.value = "";
    this.#drafts.delete(this.#room);
    this.#fit();
    this.#work.onSend(text);
  }

  #key(event) {
    if (event.isComposing) return;
    const mine = event.key === "ArrowUp" && !this.#box.value && !this.#editing && this.#work.lastMine();
    if (event.key === "Enter" && !event.shiftKey) this.#submit();
    else if (event.key === "Escape" && this.#editing) this.#stopEditing();
    else if (mine) this.edit(mine);
    else return;
    event.preventDefault();
  }

  // El servidor cuenta caracteres, y no unidades UTF-16: un emoji es uno.
  #excess() {
    return [...this.#box.value.trim()].length - MOST;
  }

  #fit() {
    this.#box.style.height = "auto";
    this.#box.style.height = `${this.#box.scrollHeight + 2}px`;
    const excess = this.#excess();
    const limit = $("#limit");
    limit.hidden = excess < WARN - MOST;
    limit.classList.toggle("bad", excess > 0);
    limit.textContent = excess > 0 ? `Sobran ${excess} caracteres` : `Quedan ${-excess} caracteres`;
  }
}
