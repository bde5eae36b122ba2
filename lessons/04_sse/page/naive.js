/* Ingenuo y correcto: el tipo de contenido, el id y el código de la respuesta. */

import { $, badge, decimal, element, pause } from "./dom.js";
import { cut, onLoopback, url } from "./wires.js";

const STATES = ["conectando", "abierto", "cerrado: no volverá"];
const CUTS = 3;
const opened = new Set();

/** Un EventSource que cuenta lo que le llega. */
async function listen(path, names) {
  const source = new EventSource(await url("naive", path));
  const seen = { source, messages: 0, lost: 0, last: null, began: performance.now() };
  for (const name of names) {
    source.addEventListener(name, ({ data }) => {
      const { n } = JSON.parse(data);
      if (seen.last !== null) seen.lost += Math.max(0, n - seen.last - 1);
      Object.assign(seen, { last: n, messages: seen.messages + 1 });
    });
  }
  opened.add(source);
  return seen;
}

function closeAll() {
  for (const source of opened) source.close();
  opened.clear();
}

/** Enseña dos flujos mientras dura `script`; `report` dice qué poner de cada uno. */
async function duel(left, right, report, script) {
  setBusy(true);
  const both = [await listen(...left), await listen(...right)];
  const draw = () => both.forEach((seen, i) => $(i ? "#duel-right" : "#duel-naive").replaceChildren(...report(seen)));
  const timer = setInterval(draw, 200);
  try {
    await script(both);
  } catch (problem) {
    $("#duel-state").textContent = `No se pudo: ${problem.message}. Recarga la página.`;
  } finally {
    clearInterval(timer);
    draw();
    closeAll();
    setBusy(false);
  }
}

const stateOf = (seen) => badge(["running", "passed", "failed"][seen.source.readyState], STATES[seen.source.readyState]);
const line = (text) => element("p", "", text);

function setBusy(busy) {
  for (const button of document.querySelectorAll("#duel button")) button.disabled = busy || !onLoopback;
}

function title(naive, right, text) {
  $("#duel-naive").dataset.label = `Ingenuo: ${naive}`;
  $("#duel-right").dataset.label = `Correcto: ${right}`;
  $("#duel-state").textContent = text;
}

$("#try-type").addEventListener("click", () => {
  title("text/plain", "text/event-stream", "Los mismos bytes; solo cambia el Content-Type.");
  const report = (seen) => [stateOf(seen), element("p", "figure", `${seen.messages}`), line("mensajes recibidos")];
  duel(["naive/text-plain", ["message"]], ["naive/no-id", ["message"]], report, () => pause(4000));
});

$("#try-id").addEventListener("click", () => {
  title("sin id", "con id y repetición", `Se cortan los dos ${CUTS} veces…`);
  const report = (seen) => [stateOf(seen), element("p", "figure", `${seen.lost}`), line(`precios perdidos de ${seen.messages + seen.lost}`)];
  duel(["naive/no-id", ["message"]], ["events", ["tick"]], report, async (both) => {
    for (let i = 1; i <= CUTS; i++) {
      await receiving(both);
      await cut("naive");
      $("#duel-state").textContent = `Corte ${i} de ${CUTS}. El navegador vuelve solo por los dos lados.`;
    }
    await receiving(both);
    $("#duel-state").textContent = `Tras ${CUTS} cortes.`;
  });
});

/** Espera a que los dos reciban algo nuevo. */
async function receiving(both) {
  const before = both.map((seen) => seen.messages);
  const deadline = performance.now() + 15000;
  while (both.some((seen, i) => seen.messages < before[i] + 2)) {
    if (performance.now() > deadline) throw new Error("los flujos no vuelven");
    await pause(100);
  }
}

$("#try-refused").addEventListener("click", () => {
  title("503 para quien debe volver", "corte", "Un 503 cierra EventSource para siempre; un corte, no.");
  const report = (seen) => [stateOf(seen), line(`a los ${decimal((performance.now() - seen.began) / 1000)} s`)];
  duel(["naive/refused", []], ["events", ["tick"]], report, async () => {
    await pause(1200);
    await cut("naive");
    await pause(2500);
  });
});

setBusy(false);
