/* Los cuatro experimentos que se hacen de una vez, cada uno con su gráfico. */

import { Chart } from "../common/chart.js";
import { $, decimal, element, onPress, send } from "./dom.js";

const bars = (id, title, y, series, height = 200) => new Chart($(id), { kind: "bar", title, y, series, height });
const calls = bars("#stampede-chart", "Preguntas a la central por 200 lecturas", { label: "preguntas" }, ["preguntas"]);
const silences = bars("#freeze-chart", "Lo más que calla el bucle de eventos", { label: "silencio", unit: "ms" }, ["silencio"]);
const lives = bars("#expiries-chart", "Trenes que caducan en cada segundo", { label: "trenes" }, ["ingenua", "correcta"], 220);

onPress($("#stampede"), $("#stampede-said"), async () => {
  const { naive, right } = await send("POST", "api/stampede?reads=200");
  calls.set([{ label: "ingenua", values: [naive.source_calls] }, { label: "correcta", values: [right.source_calls] }]);
  const errors = naive.errors + right.errors;
  return `${decimal(naive.seconds, 2)} s y ${decimal(right.seconds, 2)} s${errors ? `; errores: ${naive.errors} y ${right.errors}` : ""}.`;
});

onPress($("#race"), $("#race-said"), async () => {
  const result = await send("POST", "api/race");
  for (const kind of ["naive", "right"]) {
    $(`#race-${kind}`).replaceChildren(...result[kind].stale.map((stale) => {
      const item = element("li", stale ? "stale" : "", stale ? "✗" : "✓");
      item.setAttribute("aria-label", stale ? "se lee algo viejo" : "bien");
      return item;
    }));
  }
  const count = (kind) => result[kind].stale.filter(Boolean).length;
  return `Rondas en que se lee algo viejo: ingenua ${count("naive")}, correcta ${count("right")}.`;
});

onPress($("#freeze"), $("#freeze-said"), async () => {
  const result = await send("POST", "api/freeze");
  silences.set([{ label: "redis.Redis", values: [Math.round(result.sync)] }, { label: "redis.asyncio.Redis", values: [Math.round(result.asyncio)] }]);
  return `${decimal(result.sync, 0)} ms y ${decimal(result.asyncio, 0)} ms.`;
});

onPress($("#expiries"), $("#expiries-said"), async () => {
  const result = await send("POST", "api/expiries?count=300");
  const slot = (life) => Math.floor(life / 1000);
  const all = [...result.naive, ...result.right].map(slot);
  const first = Math.min(...all), slots = Array.from({ length: Math.max(...all) - first + 1 }, (_, i) => first + i);
  const inSlot = (kind, wanted) => result[kind].filter((life) => slot(life) === wanted).length;
  lives.set(slots.map((wanted) => ({ label: `${wanted}–${wanted + 1} s`, values: [inSlot("naive", wanted), inSlot("right", wanted)] })));
  const worst = (kind) => Math.max(...slots.map((wanted) => inSlot(kind, wanted)));
  return `En el peor segundo caducan ${worst("naive")} y ${worst("right")}.`;
});
