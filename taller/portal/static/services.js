/* La página de los servicios: arrancarlos, ver sus direcciones y lo que escriben, y el buzón. */

import { ask } from "./api.js";
import { announce, el } from "./dom.js";

const LABELS = {
  stopped: ["parados", ""],
  starting: ["arrancando…", "running"],
  running: ["en marcha", "passed"],
  failed: ["no arrancan", "failed"],
};
const REFRESH_MS = 2000;

export class ServicesPage {
  #element;
  #part;

  constructor(element) {
    this.#element = element;
    this.#part = (name) => element.querySelector(`[data-part="${name}"]`);
    element.addEventListener("click", (event) => {
      const what = event.target.closest("[data-do]")?.dataset.do;
      if (what === "start-services") this.#change("POST", "starting");
      if (what === "stop-services") this.#change("DELETE");
    });
    this.#ask("GET");
    setInterval(() => document.hidden || this.#ask("GET"), REFRESH_MS);
  }

  #change(method, meanwhile) {
    if (meanwhile) this.#showState(meanwhile);
    return this.#ask(method);
  }

  async #ask(method) {
    try {
      this.#show(await ask(method, "/services"));
    } catch (error) {
      this.#part("reason").textContent = error.message;
    }
  }

  #show({ state, reason, servers, inbox }) {
    this.#showState(state);
    this.#part("reason").textContent = reason;
    this.#showServers(servers);
    this.#showInbox(inbox);
  }

  #showState(state) {
    const [label, kind] = LABELS[state];
    const badge = this.#part("state");
    if (badge.textContent !== label) announce(`Los servicios: ${label}`);
    badge.textContent = label;
    badge.className = `badge ${kind}`.trim();
    const start = this.#element.querySelector('[data-do="start-services"]');
    start.hidden = state === "running";
    start.disabled = state === "starting";
    this.#element.querySelector('[data-do="stop-services"]').hidden = state !== "running";
  }

  /** Solo se rehace si hay otros servidores; si no, cambia lo que escriben y nada más. */
  #showServers(servers) {
    const place = this.#part("servers");
    const same = servers.length === place.children.length && servers.every(({ url }, index) => place.children[index].dataset.url === url);
    if (!same) place.replaceChildren(...servers.map(card));
    servers.forEach(({ log }, index) => {
      const shown = place.children[index].querySelector("code.written");
      if (shown && shown.textContent !== log) shown.textContent = log;
    });
  }

  #showInbox(url) {
    this.#part("inbox").hidden = !url;
    const place = this.#part("frame");
    if (place.firstChild?.src === (url && `${url}/`)) return;
    place.replaceChildren();
    if (url) place.append(el("iframe", { src: `${url}/`, title: "Buzón", sandbox: "allow-scripts allow-same-origin" }));
  }
}

function card({ name, variable, url, log }) {
  const line = `export ${variable}=${url}`;
  return el("section", { class: "panel", "data-url": url },
    el("header", {}, el("h2", {}, name), el("button", { type: "button", class: "small push", "data-copy": line }, "Copiar la orden")),
    el("p", {}, el("code", {}, line)),
    log && el("details", {}, el("summary", {}, "Lo que escribe"),
      el("pre", { class: "terminal", tabindex: "0", "aria-label": `Lo que escribe ${name}` }, el("code", { class: "written" }, log))));
}
