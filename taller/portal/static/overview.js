/* El progreso que enseña la portada, puesto al día con cada veredicto. */

import { plural } from "./dom.js";

const records = new Map();
const STATES = { passed: "superado", started: "empezado", "": "sin empezar" };

export function updateOverview(card) {
  records.set(card.id, card.record);
  const chip = document.querySelector(`[data-chip="${CSS.escape(card.id)}"]`);
  if (!chip) return;
  const state = card.record.passed_at ? "passed" : card.record.attempts ? "started" : "";
  chip.className = `chip ${state}`;
  chip.querySelector(".chip-state").textContent = STATES[state];
  showTotals();
  // «Sigue por aquí» apuntaba a este y ya está: la portada nueva dice cuál toca.
  if (state === "passed" && document.querySelector("[data-next]")?.dataset.next === card.id) location.reload();
}

function showTotals() {
  const all = [...records.values()];
  const passed = all.filter((record) => record.passed_at).length;
  setText("[data-total-passed]", passed);
  setText("[data-total-points]", plural(points(all), "punto", "puntos"));
  document.getElementById("total-progress").value = passed;
  for (const row of document.querySelectorAll("[data-lesson-passed]")) {
    const slug = row.dataset.lessonPassed;
    const chips = [...row.closest(".lesson-row").querySelectorAll("[data-chip]")];
    const own = chips.map((chip) => records.get(chip.dataset.chip)).filter(Boolean);
    row.textContent = own.filter((record) => record.passed_at).length;
    setText(`[data-lesson-points="${CSS.escape(slug)}"]`, plural(points(own), "punto", "puntos"));
  }
}

function points(list) {
  return list.reduce((total, record) => total + record.points, 0);
}

function setText(selector, text) {
  const element = document.querySelector(selector);
  if (element) element.textContent = text;
}
