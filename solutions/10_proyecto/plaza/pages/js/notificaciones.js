/* La bandeja de avisos, en vivo: primero se lee entera y después se sigue desde el último, sin huecos. */

import { get, post } from "./api.js";
import { $, button, element, moment, time } from "./dom.js";
import { countNotices, header } from "./header.js";
import { Link } from "./link.js";
import * as session from "./session.js";
import { statusView } from "./status.js";
import { follow } from "./stream.js";
import { trying } from "./toast.js";

const KINDS = { mention: ["@", "Mención"], direct: ["✉", "Mensaje directo"], moderation: ["!", "Moderación"] };
const CHANNELS = { websocket: "por el chat (WebSocket)", sse: "por esta página (SSE)", email: "por correo" };
const RECEIPT_MS = 1500; // lo que tarda en apuntarse por dónde ha llegado

const me = session.require();
header(me);
const notices = new Map();

function draw() {
  const only = $("#only-unread").checked;
  const shown = [...notices.values()].filter((each) => !only || !each.read_at).sort((one, other) => other.id - one.id);
  $("#inbox").replaceChildren(...shown.map(entry));
  $("#empty").hidden = shown.length > 0;
  $("#read-all").disabled = ![...notices.values()].some((each) => !each.read_at);
}

function entry(notice) {
  const [sign, kind] = KINDS[notice.kind] ?? ["·", notice.kind];
  const item = element("li", `notice ${notice.read_at ? "" : "unread"}`);
  item.dataset.id = notice.id;
  const mark = element("span", `notice-kind ${notice.kind}`, sign);
  mark.setAttribute("aria-hidden", "true");
  const state = notice.read_at ? "leído" : "sin leer";
  item.append(
    mark,
    element("p", "notice-text", notice.text),
    element("p", "notice-meta", kind, time(notice.created_at, moment(notice.created_at)), via(notice), state),
    element("div", "notice-actions", ...actions(notice)),
  );
  return item;
}

function via({ delivered_by, delivered_at }) {
  if (!delivered_by) return element("span", "via waiting", "aún sin entregar");
  const words = element("span", "via", CHANNELS[delivered_by] ?? delivered_by);
  words.title = `Entregado el ${moment(delivered_at)}`;
  return words;
}

function actions(notice) {
  const found = [];
  if (notice.message) {
    const go = element("a", "button small", "Ver");
    go.href = `chat.html#sala=${notice.room}&mensaje=${notice.message}`;
    go.setAttribute("aria-label", `Ver el mensaje: ${notice.text}`);
    go.addEventListener("click", () => notice.read_at || markRead(notice));
    found.push(go);
  }
  if (!notice.read_at) found.push(button("Leído", "small", () => markRead(notice)));
  return found;
}

const markRead = trying(async (notice) => {
  await post(`/api/notifications/${notice.id}/read`);
  notice.read_at = new Date().toISOString();
  draw();
  countNotices();
});

const reload = trying(async () => {
  for (const notice of await get("/api/notifications")) notices.set(notice.id, notice);
  draw();
});

function arrived({ event, data }) {
  if (event !== "notification") return;
  if (!notices.has(data.id)) {
    countNotices(1);
    $("#spoken").textContent = `Aviso nuevo: ${data.text}`;
  }
  notices.set(data.id, data);
  draw();
  // El recibo se escribe después de enviarlo: un momento más tarde se pregunta qué dice.
  clearTimeout(receipt);
  receipt = setTimeout(reload, RECEIPT_MS);
}
let receipt = null;

$("#only-unread").addEventListener("change", draw);
$("#read-all").addEventListener("click", trying(async () => {
  const unread = [...notices.values()].filter((each) => !each.read_at);
  for (const notice of unread) {
    await post(`/api/notifications/${notice.id}/read`);
    notice.read_at = new Date().toISOString();
  }
  draw();
  countNotices();
}));
// Lo que lleva el chat de otra pestaña no pasa por aquí: al volver a mirar, se pregunta.
document.addEventListener("visibilitychange", () => document.hidden || reload());

await reload();
const show = statusView(() => link.retry());
const link = new Link(
  ({ signal, up }) => {
    const lastId = String(Math.max(0, ...notices.keys()));
    return follow("/events/notifications", { signal, up, lastId, receive: arrived });
  },
  show,
);
link.run();
