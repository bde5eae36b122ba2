/* El estado de la conexión, a la vista: con palabras, y no solo con un color. */

import { $ } from "./dom.js";

const WORDS = {
  connecting: ["running", "conectando…"],
  up: ["passed", "conectado"],
  waiting: ["unstable", "reconectando"],
  offline: ["failed", "sin internet"],
  ended: ["failed", "sin sesión"],
};

/** Devuelve la función que enseña lo que va diciendo un Link; `retry` es lo que hace «Reintentar ya». */
export function statusView(retry) {
  const badge = $("#status");
  const count = $("#status-count");
  const why = $("#status-why");
  const again = $("#status-retry");
  let ticking = null;
  let reason = "";
  again.addEventListener("click", () => retry());

  return (news) => {
    clearInterval(ticking);
    const [tone, words] = WORDS[news.state];
    badge.className = `badge ${tone}`;
    badge.dataset.state = news.state;
    // La cuenta atrás va aparte: un lector de pantalla oye el cambio de estado, y no cada segundo.
    $("#status-words").textContent = words;
    count.textContent = "";
    if (news.why) reason = news.why;
    if (news.state === "up") reason = "";
    why.textContent = reason;
    $("#status-bar").hidden = news.state === "up" || (news.state === "connecting" && !reason);
    again.hidden = news.state !== "waiting";
    if (news.state === "offline") why.textContent = "No hay red. En cuanto vuelva, seguimos donde estabas.";
    if (news.state === "waiting") {
      if (!reason) why.textContent = "Se ha cortado la conexión. En cuanto vuelva, seguimos donde estabas.";
      const tick = () => {
        count.textContent = ` en ${Math.max(0, Math.ceil((news.until - Date.now()) / 1000))} s`;
      };
      tick();
      ticking = setInterval(tick, 250);
    }
  };
}
