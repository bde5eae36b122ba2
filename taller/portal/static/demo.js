/* La mini-app de la lección, dentro de la página. */

import { ask } from "./api.js";
import { announce, el } from "./dom.js";

const LABELS = {
  stopped: ["parada", ""],
  starting: ["arrancando…", "running"],
  running: ["en marcha", "passed"],
  failed: ["no está en marcha", "failed"],
};
const ABILITIES = "allow-scripts allow-same-origin allow-forms allow-popups allow-modals allow-downloads";

export class Demo {
  #element;
  #part;

  constructor(element) {
    this.#element = element;
    this.#part = (name) => element.querySelector(`[data-part="${name}"]`);
    element.addEventListener("click", (event) => {
      const what = event.target.closest("[data-do]")?.dataset.do;
      if (what === "start") this.#ask("POST");
      if (what === "stop") this.#ask("DELETE");
    });
  }

  refresh() {
    this.#ask("GET");
  }

  async #ask(method) {
    try {
      const state = await ask(method, `/demos/${this.#element.dataset.demo}`);
      if (state) this.show(state);
    } catch (error) {
      this.show({ state: "failed", reason: error.message, log: "", url: "" });
    }
  }

  show({ state, url, reason, log }) {
    const [label, kind] = LABELS[state];
    const badge = this.#part("state");
    if (badge.textContent !== label) announce(`La mini-app: ${label}`);
    badge.textContent = label;
    badge.className = `badge ${kind}`;
    this.#part("start").hidden = !["stopped", "starting"].includes(state);
    for (const button of this.#element.querySelectorAll('[data-do="start"]')) button.disabled = state === "starting";
    this.#element.querySelector('[data-do="stop"]').hidden = state !== "running";
    this.#showCrash(state === "failed", reason, log);
    this.#showFrame(state === "running" ? url : "");
  }

  #showCrash(crashed, reason, log) {
    this.#part("crash").hidden = !crashed;
    this.#part("reason").textContent = reason;
    this.#part("log").textContent = log || "(no escribió nada)";
  }

  #showFrame(url) {
    const open = this.#part("open");
    open.hidden = !url;
    if (url) open.href = url;
    const place = this.#part("frame");
    if (place.firstChild?.src === url) return;
    place.replaceChildren();
    if (url) place.append(el("iframe", { src: url, title: "Mini-app de la lección", sandbox: ABILITIES, allow: "clipboard-write" }));
  }
}
