/* Los dos procesos: si viven, los botones que los matan y levantan, y lo que tarda la API en contestar. */

import { Chart } from "../common/chart.js";
import { $, call, decimal } from "./dom.js";

const ROLES = { api: ["API", "muerta"], worker: ["Obrero", "muerto"] };
const SLOW_MS = 200;
const chart = new Chart($("#lag-chart"), {
  title: "Lo que tarda /ping", height: 190, window: 30, x: { label: "tiempo", unit: "s" }, y: { label: "retraso", unit: "ms" },
  series: ["/ping"],
});

export function showProcesses() {
  for (const [role, [name]] of Object.entries(ROLES)) {
    const card = $("#process").content.cloneNode(true).firstElementChild;
    card.id = `process-${role}`;
    $("h3", card).textContent = name;
    for (const button of card.querySelectorAll("button")) {
      button.setAttribute("aria-label", `${button.textContent}: ${name}`);
      button.addEventListener("click", () => act(role, button.dataset.do));
    }
    $("#processes").append(card);
  }
}

async function act(role, what) {
  try {
    await call("POST", `api/processes/${role}/${what}`);
  } catch (problem) {
    $("#answer").textContent = `No se pudo: ${problem.message}`;
  }
}

export function showStatus(status) {
  for (const [role, [, dead]] of Object.entries(ROLES)) {
    const card = $(`#process-${role}`);
    $(".state", card).className = `badge state ${status[role] ? "passed" : "failed"}`;
    $(".state", card).textContent = status[role] ? "en marcha" : dead;
    $("[data-do=kill]", card).disabled = !status[role];
    $("[data-do=start]", card).disabled = status[role];
  }
  if (!status.api) showFigure("sin API", true);
}

export function showLag({ ms, waiting }) {
  chart.push("/ping", performance.now() / 1000, ms);
  showFigure(waiting ? `> ${decimal(ms / 1000)} s` : `${decimal(ms, ms < 10 ? 1 : 0)} ms`, ms > SLOW_MS);
}

function showFigure(text, isBad) {
  $("#lag-now").textContent = text;
  $("#lag-now").classList.toggle("bad", isBad);
}
