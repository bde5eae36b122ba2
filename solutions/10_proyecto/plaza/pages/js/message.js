/* Un mensaje en la pantalla: el del servidor o el que aún no ha confirmado. */

import { avatar, button, clock, element, time } from "./dom.js";
import { icon } from "./icons.js";
import { mentions, rich } from "./text.js";

/** @param extra  { me, follows, onMenu(botón) }; `follows`: va seguido de otro de la misma persona */
export function messageNode(message, { me, follows, onMenu }) {
  const item = element("li", "message");
  item.tabIndex = -1;
  item.dataset.id = message.id;
  item.classList.toggle("follows", follows);
  item.classList.toggle("mine", message.user === me);
  item.classList.toggle("deleted", message.deleted);
  item.classList.toggle("for-me", !message.deleted && message.user !== me && mentions(message.text, me));
  item.append(...front(message, follows), body(message, me));
  if (!message.deleted) item.append(more(message, onMenu));
  return item;
}

/** Lo que se vuelve a pintar si cambia. */
export const version = (message, follows) => [message.text, message.edited_at, message.deleted, follows].join("\u0000");

function front({ user, sent_at }, follows) {
  const when = time(sent_at, clock(sent_at));
  if (follows) return [when, element("span", "visually-hidden", `${user}: `)];
  return [avatar(user), element("p", "byline", element("strong", "", user), " ", when)];
}

function body(message, me) {
  const text = element("p", "text");
  if (message.deleted) text.append("Mensaje borrado");
  else text.append(...rich(message.text, me));
  if (message.edited_at && !message.deleted) text.append(" ", element("span", "edited", "(editado)"));
  return text;
}

function more(message, onMenu) {
  const created = button("", "more quiet", () => onMenu(created));
  created.append(icon("more"));
  created.tabIndex = -1;
  created.setAttribute("aria-label", `Acciones para el mensaje de ${message.user}`);
  created.setAttribute("aria-haspopup", "menu");
  created.setAttribute("aria-expanded", "false");
  return created;
}

export function pendingNode(entry, { me, follows, outbox }) {
  const sent_at = new Date(entry.at).toISOString();
  const item = element("li", "message mine pending");
  item.tabIndex = -1;
  item.dataset.client = entry.client_id;
  item.classList.toggle("follows", follows);
  item.append(...front({ user: me, sent_at }, follows), element("p", "text", ...rich(entry.text, me)));
  if (!entry.problem) {
    item.append(element("p", "fate", "enviando…"));
    return item;
  }
  item.classList.add("failed");
  item.append(element(
    "p", "fate", `No se ha enviado: ${entry.problem}. `,
    button("Reintentar", "small", () => outbox.retry(entry.client_id)), " ",
    button("Descartar", "small quiet", () => outbox.discard(entry.client_id)),
  ));
  return item;
}
