/* El veredicto de un ejercicio, en vivo: solo cambia lo que ha cambiado. */

import { ask } from "./api.js";
import { checkItem } from "./check.js";
import { announce, el, plural } from "./dom.js";

const BADGES = {
  idle: ["sin comprobar", ""],
  running: ["comprobando", "running"],
  passed: ["superado", "passed"],
  failed: ["aún no", "failed"],
  problem: ["no se pudo comprobar", "failed"],
  missing: ["falta el archivo", "failed"],
};
const DATE = new Intl.DateTimeFormat("es", { dateStyle: "long" });

export class VerdictPanel {
  #element;
  #part;
  #data;
  #shown = false;
  #failing = 0;

  constructor(element) {
    this.#element = element;
    this.#data = element.dataset;
    this.#part = (name) => element.querySelector(`[data-part="${name}"]`);
  }

  /** El estado entero, al conectarse. Si el portal es otro y no sabe el veredicto que había, se le pide. */
  restore(card) {
    const unknown = card.state === "idle" && (this.#shown || this.#data.checkNow !== undefined);
    delete this.#data.checkNow;
    if (unknown) {
      ask("POST", `/exercises/${card.id}/check`).catch(() => {});
      return;
    }
    this.collect(card.checks ?? []);
    (card.checks ?? []).filter((check) => check.status !== "pending").forEach((check) => this.showCheck(check));
    if (card.state === "running") this.start();
    else this.finish(card, { quiet: true });
  }

  start() {
    this.#element.classList.add("stale");
    this.#badge("running");
  }

  collect(checks) {
    this.#failing = 0;
    const list = this.#part("checks");
    const same = checks.length === list.children.length && checks.every((check, index) => list.children[index].dataset.number === String(check.number));
    if (!same) list.replaceChildren(...checks.map((check) => checkItem(check, this.#data.lessonUrl, false)));
  }

  showCheck(check) {
    const item = this.#part("checks").querySelector(`[data-number="${check.number}"]`);
    if (!item) return;
    const failed = check.status === "failed";
    if (failed && !this.#failing) this.#failing = check.number;
    const kept = remember(item);
    const next = checkItem(check, this.#data.lessonUrl, failed && this.#failing === check.number);
    item.replaceWith(next);
    recall(next, kept);
  }

  finish(card, { quiet = false } = {}) {
    this.#shown ||= card.state !== "idle";
    // Si no se pudo acabar, los controles a los que no se llegó enseñan aún lo de la vez anterior.
    this.#element.classList.toggle("stale", card.state === "problem");
    if (card.state === "missing") this.#part("checks").replaceChildren();
    this.#badge(card.state);
    this.#part("summary").replaceChildren(...this.#summary(card));
    this.#part("record").textContent = recordText(card.record);
    if (!quiet) announce(this.#sentence(card));
  }

  #badge(state) {
    const [text, kind] = BADGES[state];
    const badge = this.#part("badge");
    badge.textContent = text;
    badge.className = `badge ${kind}`;
  }

  #summary(card) {
    switch (card.state) {
      case "idle":
        return [el("p", { class: "soft" }, "Guarda el archivo y el veredicto aparecerá aquí.")];
      case "missing":
        return [
          el("p", {}, "No está ", el("code", {}, this.#data.file), ". Puedes traerlo de vuelta tal como era al empezar."),
          el("button", { type: "button", class: "primary", "data-do": "restore" }, "Restaurar el archivo"),
        ];
      case "problem":
        return [el("p", { class: "problem" }, card.problem)];
      case "passed":
        return [this.#celebration(card)];
      default:
        return [el("p", {}, `${card.passed} de ${plural(card.total, "control superado", "controles superados")} `, took(card))];
    }
  }

  #celebration(card) {
    const { nextUrl, nextTitle, verdict, lessonUrl } = this.#data;
    return el("div", { class: "celebration" },
      el("p", {}, el("strong", {}, "¡Superado!"), ` Los ${card.total} controles pasan. `, took(card)),
      el("div", { class: "row" },
        nextUrl && el("a", { class: "button primary", href: nextUrl }, `Sigue con ${nextTitle}`),
        !nextUrl && el("a", { class: "button primary", href: "/" }, "Vuelve a las lecciones"),
        el("a", { class: "button", href: `${lessonUrl}/${verdict}/solucion` }, "Compáralo con la solución")));
  }

  #sentence(card) {
    const first = this.#part("checks").querySelector(".failed .check-title")?.textContent;
    switch (card.state) {
      case "passed":
        return `${card.id}: superado, ${plural(card.total, "control", "controles")}.`;
      case "failed":
        return `${card.id}: ${card.passed} de ${card.total} controles. Falla ${first ?? "alguno"}.`;
      case "missing":
        return `${card.id}: falta el archivo.`;
      default:
        return `${card.id}: ${card.problem}`;
    }
  }
}

function took(card) {
  return el("span", { class: "soft small" }, `en ${card.duration_s.toLocaleString("es", { maximumFractionDigits: 2 })} s`);
}

function recordText({ passed_at: passedAt, attempts, hints_seen: hints }) {
  const parts = [
    passedAt && `Superado el ${DATE.format(new Date(`${passedAt.slice(0, 10)}T12:00`))}`,
    attempts > 0 && plural(attempts, "intento", "intentos"),
    hints > 0 && plural(hints, "pista vista", "pistas vistas"),
  ];
  return parts.filter(Boolean).join(" · ");
}

/** Lo que estaba desplegado y lo que tenía el foco, para dejarlo igual al repintar. */
function remember(item) {
  const boxes = [...item.querySelectorAll("details[data-key]")].map((box) => [box.dataset.key, box.open]);
  return { boxes: new Map(boxes), focused: item.contains(document.activeElement) ? document.activeElement.dataset.key : null };
}

function recall(item, { boxes, focused }) {
  for (const box of item.querySelectorAll("details[data-key]")) {
    box.open ||= boxes.get(box.dataset.key) ?? false;
  }
  if (focused) item.querySelector(`[data-key="${focused}"]`)?.focus();
}
