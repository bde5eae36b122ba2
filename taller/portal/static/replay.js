/* Recorrer una transcripción paso a paso: lo que aún no ha pasado se atenúa. */

import { el } from "./dom.js";

const STEP_MS = 700;

/** Los mandos; `rows` son las filas del diagrama y `texts` lo que dice cada una. */
export function player(rows, texts) {
  const where = el("output", { class: "soft small" });
  const slider = el("input", { type: "range", min: 1, max: rows.length, value: rows.length, "aria-label": "Paso" });
  const play = el("button", { type: "button", class: "small" });
  const back = el("button", { type: "button", class: "small", "aria-label": "Paso anterior" }, "‹");
  const forward = el("button", { type: "button", class: "small", "aria-label": "Paso siguiente" }, "›");
  let timer = 0;

  const show = (step) => {
    slider.value = step;
    rows.forEach((row, index) => {
      row.classList.toggle("future", index >= step);
      row.classList.toggle("now", index === step - 1 && step < rows.length);
    });
    where.textContent = `Paso ${step} de ${rows.length}`;
    slider.setAttribute("aria-valuetext", `${step} de ${rows.length}: ${texts[step - 1]}`);
    back.disabled = step === 1;
    forward.disabled = step === rows.length;
  };
  const go = (step) => {
    show(step);
    rows[step - 1].scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  const pause = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Reproducir";
  };
  const tick = () => {
    // Si el veredicto ha cambiado, este diagrama ya no está en la página.
    if (!slider.isConnected) return pause();
    go(slider.valueAsNumber + 1);
    if (slider.valueAsNumber === rows.length) pause();
  };
  const start = () => {
    if (slider.valueAsNumber === rows.length) go(1);
    timer = setInterval(tick, STEP_MS);
    play.textContent = "Pausa";
  };

  slider.addEventListener("input", () => { pause(); go(slider.valueAsNumber); });
  back.addEventListener("click", () => { pause(); go(slider.valueAsNumber - 1); });
  forward.addEventListener("click", () => { pause(); go(slider.valueAsNumber + 1); });
  play.addEventListener("click", () => (timer ? pause() : start()));
  pause();
  show(rows.length);
  return el("div", { class: "player", role: "group", "aria-label": "Repetir lo que pasó" }, play, back, slider, forward, where);
}
