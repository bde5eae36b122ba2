/* Lo que baja por los cables, tal cual: en SSE se lee sin ayuda de nadie. */

import { $, appendTo, element } from "./dom.js";

const list = $("#cable");
const wanted = () => $("#which").value;

new EventSource("api/pieces").onmessage = ({ data }) => {
  const piece = JSON.parse(data);
  if (piece.lane !== wanted() || $("#hold").checked) return;
  for (const line of lines(piece.text)) appendTo(list, line, 200);
};

/** Una línea del cable por renglón. La línea en blanco, que es la que entrega el evento, también se ve. */
function lines(text) {
  const all = text.replace(/\r?\n$/, "").split(/\r\n|\n/);
  // HTTP cierra cada trozo con otro salto de línea, que no es del flujo.
  return all.filter((line, i) => line !== "" || all[i - 1] !== "").map(describe);
}

function describe(line) {
  if (line === "") return element("li", "soft", "⏎  línea en blanco");
  if (/^[0-9a-f]+$/.test(line)) return element("li", "soft", `${line}  (HTTP: un trozo de ${parseInt(line, 16)} B)`);
  return element("li", /^(id|event|data|retry|): /.test(line) ? "down" : "event", line);
}

$("#which").addEventListener("change", () => list.replaceChildren());
$("#clear-cable").addEventListener("click", () => list.replaceChildren());
