/* SIGTERM a los dos servidores: lo que vio cada uno de los que estaban dentro. */

import { $, badge, decimal, element, onPress, send } from "./dom.js";

const codes = ({ tabs }) => [...new Set(tabs.map(({ code }) => code ?? "la congelada, ni se entera"))].join("; ");
const ROWS = [
  ["La petición a medias", ({ farewell }) => [farewell.order === "201", farewell.order === "201" ? "201: terminó" : farewell.order]],
  ["Los WebSockets", (side) => [side.tabs.some(({ code }) => code === 1012), codes(side)]],
  ["El flujo SSE", ({ farewell }) => [farewell.stream === "acabado", farewell.stream]],
  ["La tarea", ({ farewell }) => [farewell.report_saved, farewell.report_saved ? "guardó lo suyo" : "perdió lo suyo"]],
  ["Los recursos", ({ farewell }) => [farewell.resources_closed, farewell.resources_closed ? "cerrados" : "sin cerrar"]],
  ["El proceso", ({ farewell }) => [!farewell.exit.includes("kill"), `${farewell.exit}, a los ${decimal(farewell.seconds, 1)} s`]],
];
let shown = "";

export function showFarewell(sides) {
  if (!sides.naive.farewell || !sides.right.farewell) return;
  const rows = ROWS.map(([who, look]) => [who, ...["naive", "right"].map((kind) => look(sides[kind]))]);
  if (JSON.stringify(rows) === shown) return;
  shown = JSON.stringify(rows);
  $("#farewell").replaceChildren(...rows.map(([who, ...cells]) =>
    element("tr", "", element("th", "", who), ...cells.map(([ok, text]) => element("td", "", badge(ok ? "passed" : "failed", text))))));
}

onPress($("#terminate"), $("#shutdown-said"), async () => {
  await send("POST", "api/terminate");
  return "Apagados. Pulsa «Levantar» para seguir.";
});
onPress($("#raise"), $("#shutdown-said"), async () => {
  await send("POST", "api/restart");
  return "En marcha otra vez.";
});
