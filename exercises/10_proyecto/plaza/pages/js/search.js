/* Buscar en lo dicho: en la sala abierta o en todas. */

import { get } from "./api.js";
import { $, button, element, moment } from "./dom.js";
import { rich } from "./text.js";

/** @param context  { me, room(): la abierta, nameOf(id), onPick(mensaje) } */
export function prepareSearch(context) {
  const dialog = $("#search");
  const form = $("form", dialog);
  const results = $("#results");
  const said = $("#search-said");
  let turn = 0;

  const open = () => {
    results.replaceChildren();
    said.textContent = "";
    form.reset();
    dialog.showModal();
  };
  $("#search-open").addEventListener("click", open);
  addEventListener("keydown", (event) => {
    if (event.key !== "k" || !(event.ctrlKey || event.metaKey) || $("dialog[open]")) return;
    event.preventDefault();
    open();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = new FormData(form);
    const query = new URLSearchParams({ q: fields.get("q") });
    if (fields.get("here") && context.room()) query.set("room", context.room().id);
    const mine = ++turn;
    said.textContent = "Buscando…";
    results.replaceChildren();
    try {
      const { messages } = await get(`/api/search?${query}`);
      if (mine !== turn) return;
      said.textContent = count(messages.length);
      results.replaceChildren(...messages.map(result));
    } catch (problem) {
      if (mine === turn) said.textContent = problem.message;
    }
  });

  function result(message) {
    const pick = button("", "result quiet", () => {
      dialog.close();
      context.onPick(message);
    });
    const where = `${message.user} en ${context.nameOf(message.room)} · ${moment(message.sent_at)}`;
    pick.append(element("span", "soft small", where), element("span", "text", ...plain(message.text)));
    return element("li", "", pick);
  }

  // Dentro de un botón no caben enlaces: se dejan en su texto.
  const plain = (text) => rich(text, context.me).map((node) => (node.localName === "a" ? node.textContent : node));
}

function count(total) {
  if (!total) return "No hay ningún mensaje con esas palabras.";
  return total === 1 ? "Un mensaje." : `${total} mensajes${total === 50 ? ", los más recientes" : ""}.`;
}
