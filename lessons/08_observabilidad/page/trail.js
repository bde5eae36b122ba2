/* Los dos registros según se escriben, y un identificador que se puede seguir. */

import { $, element, onPress, send } from "./dom.js";

const KEPT = 300;
let followed = null;

function add(list, item) {
  list.append(item);
  while (list.children.length > KEPT) list.firstElementChild.remove();
  list.scrollTop = list.scrollHeight;
}

function record(line) {
  const { request_id: id, event, level, timestamp, ...rest } = JSON.parse(line);
  delete rest.exception;
  const time = (timestamp ?? "").slice(11, 23);
  const item = element("li", `level-${level}`, `${time} ${event} `);
  if (id) {
    const button = element("button", "", id);
    button.setAttribute("aria-label", `Seguir ${id}`);
    button.addEventListener("click", () => follow(id));
    item.append(button);
    item.dataset.id = id;
  }
  if (Object.keys(rest).length) item.append(` ${JSON.stringify(rest)}`);
  item.title = line;
  item.hidden = followed !== null && id !== followed;
  return item;
}

function follow(id) {
  followed = id;
  for (const item of $("#right-lines").children) item.hidden = id !== null && item.dataset.id !== id;
  $("#follow-all").hidden = id === null;
  const count = [...$("#right-lines").children].filter((item) => !item.hidden).length;
  $("#trail-said").textContent = id === null ? "" : `${id}: ${count} líneas.`;
}

onPress($("#send"), $("#trail-said"), async () => {
  follow(null);
  await send("POST", "api/tasks?count=3");
  return "Enviados.";
});
$("#follow-all").addEventListener("click", () => {
  follow(null);
  $("#send").focus();
});

/** Los dos registros, por un flujo, y los resultados de las tareas por otro: es el que cuenta sse_streams. */
export function watchTrail() {
  const lines = new EventSource("api/trail");
  lines.addEventListener("naive", ({ data }) => add($("#naive-lines"), element("li", "", data)));
  lines.addEventListener("right", ({ data }) => add($("#right-lines"), record(data)));
  new EventSource("events");
}
