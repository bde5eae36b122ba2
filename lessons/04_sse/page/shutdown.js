/* Apagar un servidor con un flujo abierto: tres formas, un cronómetro. */

import { $, badge, decimal, element } from "./dom.js";

const VARIANTS = [
  ["native", "fastapi.sse", "paso 4, tal cual"],
  ["deadline", "fastapi.sse con plazo", "--timeout-graceful-shutdown 1"],
  ["starlette", "sse-starlette", "paso 5"],
];
const rows = $("#shutdown-rows");

function row(name, how, verdict, ...cells) {
  return element("tr", "", element("th", "", name, element("div", "small soft", how)), element("td", "", verdict), ...cells);
}

async function run([variant, name, how]) {
  const waiting = row(name, how, badge("running", "apagando"), element("td"));
  rows.append(waiting);
  const answer = await fetch(`api/shutdown/${variant}`, { method: "POST" });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  const { seconds, killed, log } = await answer.json();
  const cleaned = log.some((line) => line.includes("flujo cerrado"));
  const verdict = killed ? badge("failed", `vivo a los ${decimal(seconds, 0)} s: kill -9`) : badge("passed", `${decimal(seconds, 2)} s`);
  const done = row(name, how, verdict, element("td", "", cleaned ? badge("passed", "sí") : badge("failed", "no")));
  done.id = `shutdown-${variant}`;
  waiting.replaceWith(done, said(log));
}

function said(log) {
  const cell = element("td", "", element("pre", "small", log.join("\n")));
  cell.colSpan = 3;
  return element("tr", "", cell);
}

$("#try-shutdown").addEventListener("click", async () => {
  $("#try-shutdown").disabled = true;
  rows.replaceChildren();
  try {
    for (const variant of VARIANTS) await run(variant);
    $("#shutdown-state").textContent = "Hecho.";
  } catch (problem) {
    $("#shutdown-state").textContent = `No se pudo: ${problem.message}.`;
  } finally {
    $("#try-shutdown").disabled = false;
  }
});
