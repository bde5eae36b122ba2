/* Dos paneles que escuchan los mismos avisos; solo uno se acuerda de por dónde iba. */

import { $, element, onPress, send } from "./dom.js";

const MINUTE = 60;
let serial = 0;
const texts = (count) => Array.from({ length: count }, () => {
  serial += 1;
  return `${serial}. El tren ${1 + Math.floor(Math.random() * 40)} lleva ${Math.ceil(Math.random() * MINUTE)} min de retraso`;
});

const boards = { naive: { count: 0, last: "" }, right: { count: 0, last: "" } };

function open(kind) {
  const list = $(`#${kind}-board`), board = boards[kind];
  // Tras un corte del propio WebSocket, el correcto dice por dónde iba.
  const path = `ws/boards/${kind}${board.last && `?after=${board.last}`}`;
  const socket = new WebSocket(new URL(path, location.href.replace(/^http/, "ws")));
  socket.onopen = () => { $(`#${kind}-state`).textContent = "conectado"; };
  socket.onmessage = ({ data }) => {
    const { id, text } = JSON.parse(data);
    if (kind === "right") board.last = id;
    board.count += 1;
    $(`#${kind}-count`).textContent = board.count;
    list.prepend(element("li", "", text));
    while (list.children.length > 100) list.lastElementChild.remove();
  };
  socket.onclose = ({ code }) => {
    $(`#${kind}-state`).textContent = `cerrado ${code}: vuelvo a intentarlo`;
    setTimeout(() => open(kind), 500 + 1000 * Math.random());
  };
}

onPress($("#announce"), $("#boards-said"), async () => {
  await send("POST", "api/announcements", { texts: texts(1) });
  return `Aviso ${serial} dado.`;
});
onPress($("#cut"), $("#boards-said"), async () => {
  await send("POST", "api/announcements/during-a-cut", { texts: texts(5) });
  return `Cortado; avisos hasta el ${serial}.`;
});

export const openBoards = () => ["naive", "right"].forEach(open);
