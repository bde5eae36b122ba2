/* Luis escucha por dos conexiones; Ana publica; alguien lo echa. */

import { $, element, onPress, send } from "./dom.js";

const TEXTS = { joined: "— entra en la sala", removed: "— ya no eres miembro", forbidden: "— no puedes entrar" };
const sockets = { naive: null, right: null };

function listen(kind) {
  sockets[kind]?.close();
  const socket = sockets[kind] = new WebSocket(new URL(`room/${kind}`, location.href.replace(/^http/, "ws")));
  return new Promise((resolve) => {
    socket.onmessage = ({ data }) => {
      const { type, text } = JSON.parse(data), list = $(`#room-${kind}`);
      list.append(element("li", TEXTS[type] ? "event" : "down", text ?? TEXTS[type]));
      while (list.children.length > 60) list.firstElementChild.remove();
      list.scrollTop = list.scrollHeight;
      resolve();
    };
  });
}

const both = () => Promise.all(["naive", "right"].map(listen));

export async function openRoom() {
  onPress($("#publish"), $("#room-said"), async () => {
    await send("POST", "api/room/messages");
    return "Publicado.";
  });
  onPress($("#expel"), $("#room-said"), async () => {
    await send("PUT", "api/room/members/luis", { member: false });
    return "Luis ya no es miembro. Que publique Ana.";
  });
  onPress($("#readmit"), $("#room-said"), async () => {
    await send("PUT", "api/room/members/luis", { member: true });
    await both();
    return "Luis vuelve a ser miembro.";
  });
  await send("PUT", "api/room/members/luis", { member: true });
  await both();
}
