/* La página es Ana: un WebSocket y un flujo por cada versión, que contestan lo que se les manda. */

import { $, badge, decimal, element, onPress, send } from "./dom.js";

const KINDS = ["naive", "right"];
const MANNERS = { ack: "confirma", nack: "dice que no", leave: "se va", silent: "se calla" };
const NAMES = { websocket: "WebSocket", sse: "flujo SSE", email_queued: "cola de correo" };
const BACK_MS = 600;
const manner = { websocket: "ack", sse: "ack" };

for (const group of document.querySelectorAll("[data-channel]")) {
  const channel = group.dataset.channel;
  for (const [value, name] of Object.entries(MANNERS)) {
    const button = element("button", "small", name);
    button.dataset.manner = value;
    button.addEventListener("click", () => choose(group, channel, value));
    $(".row", group).append(button);
  }
  choose(group, channel, "ack");
}

function choose(group, channel, value) {
  manner[channel] = value;
  for (const button of group.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.manner === value));
}

// region contestar
function openSocket(kind) {
  const socket = new WebSocket(new URL(`ws/notifications/${kind}`, location.href.replace(/^http/, "ws")));
  socket.onmessage = ({ data }) => {
    const { type, id, text } = JSON.parse(data);
    if (type !== "notification") return;
    arrived(kind, "websocket", text);
    if (manner.websocket === "leave") socket.close();
    else if (manner.websocket !== "silent") socket.send(JSON.stringify({ type: manner.websocket, id }));
  };
  socket.onclose = () => setTimeout(() => openSocket(kind), BACK_MS);
}

function openStream(kind) {
  const source = new EventSource(`api/notifications/${kind}/events`);
  source.addEventListener("notification", ({ data }) => {
    const { id, text } = JSON.parse(data);
    arrived(kind, "sse", text);
    if (manner.sse === "leave") {
      source.close();
      setTimeout(() => openStream(kind), BACK_MS);
    } else if (manner.sse !== "silent") send("POST", `api/notifications/${kind}/${id}/${manner.sse}`);
  });
}
// endregion

function arrived(kind, channel, text) {
  $(".arrivals", $(`#notify-${kind}`)).prepend(element("li", "down", `por su ${NAMES[channel]}: ${text}`));
}

function showOutcome(kind, { receipt, seconds, said, attempts }) {
  const box = $(`#notify-${kind}`);
  $(".receipt", box).className = `receipt${receipt ? "" : " bad"}`;
  $(".receipt", box).textContent = receipt ? `"${receipt}" en ${decimal(seconds)} s` : said;
  $(".attempts", box).replaceChildren(...attempts.map(({ channel, ok, seconds: taken, why }) =>
    element("li", "", badge(ok ? "passed" : "failed", NAMES[channel]), ` ${ok ? "conseguido" : why}, ${decimal(taken)} s`)));
}

let serial = 0;
onPress($("#notify"), $("#notify-said"), async () => {
  serial += 1;
  const text = `${serial}. Ha llegado tu pedido`;
  await Promise.all(KINDS.map(async (kind) => {
    $(".receipt", $(`#notify-${kind}`)).textContent = "…";
    $(".attempts", $(`#notify-${kind}`)).replaceChildren();
    showOutcome(kind, await send("POST", `api/notifications/${kind}`, { text }));
  }));
  await showMails();
  return `Aviso ${serial} dado.`;
});

async function showMails() {
  $("#mails").textContent = (await send("GET", "api/mails")).length;
}

$("#mail-down").addEventListener("change", async ({ target }) => {
  try {
    await send("PUT", `api/mail-queue/${target.checked ? "down" : "up"}`);
    $("#notify-said").textContent = target.checked ? "La cola está caída." : "La cola vuelve a estar.";
  } catch (problem) {
    target.checked = !target.checked;
    $("#notify-said").textContent = `No se pudo: ${problem.message}`;
  }
});

for (const kind of KINDS) {
  openSocket(kind);
  openStream(kind);
}
setInterval(() => showMails().catch(() => {}), 1000);
