/* Las cuatro pestañas de cada lado: lo que ha recibido cada una y lo que espera en su cola. */

import { $, badge, element, onPress, send } from "./dom.js";

const FROZEN = "congelada";
const STATES = { reading: ["passed", "lee"], frozen: ["skipped", "congelada"] };

export function showSide(kind, side) {
  const box = $(`#${kind}`);
  if (!box.childElementCount) box.append(element("div", "row head"), element("dl", "counts"), element("ul", "tabs-of"));
  $(".head", box).replaceChildren(side.alive ? badge("passed", "servidor en marcha") : badge("failed", "servidor apagado"));
  $(".counts", box).replaceChildren(
    count("enviados", side.sent), count("envíos que no vuelven", side.pending, side.pending > 0));
  const list = $(".tabs-of", box);
  side.tabs.forEach((tab, index) => showTab(list.children[index] ?? newTab(list), tab, side));
  const frozen = side.tabs.find(({ name }) => name === FROZEN)?.state === "frozen";
  if (kind === "naive") showFreezeButton(frozen);
}

function count(name, value, bad) {
  const shown = element("dd", bad ? "bad" : "", String(value));
  return element("div", "", element("dt", "", name), shown);
}

function newTab(list) {
  list.append($("#tab").content.cloneNode(true));
  return list.lastElementChild;
}

function showTab(card, tab, side) {
  card.className = `tab ${tab.state}`;
  card.dataset.tab = tab.name;
  $(".name", card).textContent = tab.name;
  const [verdict, text] = STATES[tab.state] ?? ["failed", `cerrada ${tab.code}`];
  $(".state", card).className = `badge state ${verdict}`;
  $(".state", card).textContent = text;
  $(".received", card).textContent = `${tab.received}/${side.sent}`;
  fill($(".bar", card), tab.received, side.sent);
  const queued = side.queues[tab.name];
  const bar = $(".queue", card);
  bar.classList.toggle("none", queued === undefined);
  fill(bar, queued ?? 0, side.limit ?? 1);
  $(".queue-text", card).textContent = queueText(side, tab, queued);
}

function queueText(side, tab, queued) {
  if (queued !== undefined) return `en su cola: ${queued} de ${side.limit}`;
  return side.limit === null || !side.alive ? "sin cola" : tab.state === "frozen" || tab.code ? "desalojada: ya no tiene cola" : "sin cola";
}

const fill = (bar, value, top) => { bar.firstElementChild.style.width = `${top ? Math.min(100, (100 * value) / top) : 0}%`; };

function showFreezeButton(frozen) {
  $("#freeze").setAttribute("aria-pressed", String(frozen));
  $("#freeze").textContent = frozen ? "Despertar la segunda" : "Congelar la segunda";
}

onPress($("#freeze"), $("#tabs-said"), async () => {
  const frozen = $("#freeze").getAttribute("aria-pressed") === "true";
  await send("POST", `api/tabs/${FROZEN}/${frozen ? "wake" : "freeze"}`);
  return frozen ? "Vuelve a leer." : "Ya no lee. Nadie se ha enterado.";
});
onPress($("#burst"), $("#tabs-said"), async () => {
  await send("POST", "api/burst?count=60");
  return "60 mensajes pedidos.";
});
onPress($("#come-back"), $("#tabs-said"), async () => {
  await send("POST", "api/tabs/móvil/come-back");
  return "El móvil ha vuelto con el mismo nombre, y después se ha cerrado su conexión vieja. Envía otra vez.";
});
onPress($("#restart"), $("#tabs-said"), async () => {
  await send("POST", "api/restart");
  return "Servidores y pestañas nuevos.";
});
