/* Un control de la lista: una línea si va bien; si falla, qué se esperaba, qué llegó, pistas y lo que pasó. */

import { contrast } from "./contrast.js";
import { el, plural } from "./dom.js";
import { story } from "./sequence.js";

const SIGNS = { passed: "✓", failed: "✗", skipped: "–", unstable: "≈", pending: "·" };
const WORDS = { passed: "superado", failed: "no superado", skipped: "omitido", unstable: "inestable", pending: "pendiente" };

export function checkItem(check, lessonUrl, open) {
  const item = el("li", { class: `check ${check.status}`, "data-number": check.number });
  if (check.status === "failed" || check.status === "unstable") {
    item.append(el("details", { open, "data-key": `check-${check.number}` }, el("summary", {}, ...title(check)), explanation(check, lessonUrl)));
  } else {
    item.append(el("p", { class: "check-line" }, ...title(check)));
    if (check.status === "skipped" && check.received) item.append(el("p", { class: "soft small why" }, check.received));
  }
  return item;
}

function title(check) {
  const extra = [check.todo && `TODO ${check.todo}`, check.status === "failed" && plural(check.max_points, "punto", "puntos")].filter(Boolean);
  return [
    el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[check.status]),
    el("span", { class: "visually-hidden" }, `${WORDS[check.status]}: `),
    el("span", { class: "check-title" }, `${check.number}. ${check.title}`),
    extra.length > 0 && el("span", { class: "soft small worth" }, extra.join(" · ")),
  ];
}

function explanation(check, lessonUrl) {
  const [, arrived, difference] = check.received.match(/^(.*?)(?: \(se esperaba (.+)\))?$/s);
  const [expected, received] = contrast(check.expected, arrived);
  return el("div", { class: "explanation" },
    el("dl", { class: "outcome" },
      el("dt", { class: "wanted" }, "Se esperaba"), el("dd", { class: "wanted" }, ...expected),
      el("dt", { class: "got" }, "Llegó"), el("dd", { class: "got" }, ...received),
      difference && el("dt", {}, "Diferencia"), difference && el("dd", {}, difference)),
    ...check.misconceptions.map((text) => el("p", { class: "misconception" }, el("strong", {}, "Puede ser esto: "), text)),
    help(check, lessonUrl),
    check.transcript.length > 0 && whatHappened(check));
}

function help(check, lessonUrl) {
  const { hints, hints_left: left, number, section } = check;
  const ask = hints.length ? `Otra pista (${left === 1 ? "queda 1" : `quedan ${left}`})` : "Dame una pista";
  return el("div", { class: "help" },
    hints.length > 0 && el("ol", { class: "hints", "aria-label": "Pistas" }, ...hints.map((hint) => el("li", {}, hint))),
    el("div", { class: "row" },
      left > 0 && el("button", { type: "button", class: "small", "data-do": "hint", "data-number": number, "data-key": `hint-${number}` }, ask),
      section && el("a", { href: `${lessonUrl}#${section}`, "data-key": `section-${number}` }, "Repásalo en la lección")));
}

function whatHappened(check) {
  const body = el("div", { class: "story" });
  const box = el("details", { class: "what-happened", "data-key": `story-${check.number}` },
    el("summary", {}, `Lo que pasó: ${plural(check.transcript.length, "paso", "pasos")}`), body);
  // El diagrama puede tener cientos de filas: se dibuja cuando se va a ver.
  let drawn = false;
  box.addEventListener("toggle", async () => {
    if (!box.open || drawn) return;
    drawn = true;
    const exercise = box.closest("[data-verdict]").dataset.verdict;
    const url = `/api/exercises/${exercise}/checks/${check.number}/sequence`;
    body.append(...(await story(check.transcript, url, body.clientWidth)));
  });
  return box;
}
