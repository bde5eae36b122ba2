/* El cable: escucha por SSE lo que oye el relé y lo reparte entre la lista y quien esté midiendo. */

import { base } from "./connection.js";
import { $, appendTo } from "./dom.js";
import { renderEvent } from "./frame.js";
import { people } from "./people.js";

const cables = new Map(); // número de conexión → { who, target, switched, closed }
const wire = $("#wire");
let seen = 0;

/** Quien quiera enterarse de cada suceso, además de la lista. */
export const listeners = new Set();

export function watchWire() {
  const source = new EventSource("api/frames");
  source.onmessage = ({ data }) => cross(JSON.parse(data));
  return new Promise((resolve) => source.addEventListener("open", resolve, { once: true }));
}

function cross(event) {
  const cable = learn(event);
  seen += 1;
  $("#wire-count").textContent = `${seen} sucesos`;
  const item = renderEvent(event, cable);
  item.dataset.who = cable.who;
  item.hidden = !wanted(cable.who);
  appendTo(wire, item, 300);
  if (event.kind === "end") cables.delete(event.connection);
  for (const listener of listeners) listener(event, cable);
}

/** Lo que se sabe de una conexión, puesto al día con lo que acaba de cruzar. */
function learn(event) {
  if (!cables.has(event.connection)) cables.set(event.connection, { who: "otra", target: "", switched: false, closed: false });
  const cable = cables.get(event.connection);
  if (event.kind === "head" && event.direction === "up") name(cable, event);
  if (event.name.startsWith("HTTP/1.1 101")) own(cable, event);
  if (event.opcode === 8) cable.closed = true;
  return cable;
}

function name(cable, event) {
  cable.target = event.name.split(" ")[1];
  const asked = new URL(cable.target, base).searchParams.get("name");
  if (people.some((person) => person.name === asked)) cable.who = asked;
}

// Solo con el 101: una conexión rechazada lleva el mismo nombre, pero no es de la persona.
function own(cable, event) {
  cable.switched = true;
  people.find((person) => person.name === cable.who)?.owns(event.connection);
}

const wanted = (who) => ({ "": true, people: who !== "otra" })[$("#filter").value] ?? who === $("#filter").value;

$("#filter").addEventListener("change", () => {
  for (const item of wire.children) item.hidden = !wanted(item.dataset.who);
});
$("#clear-wire").addEventListener("click", () => wire.replaceChildren());
