/* La página del chat: junta las piezas y las pone en marcha. */

import { patch, post } from "./api.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { openDialog, prepareDialogs } from "./dialogs.js";
import { $, throttle } from "./dom.js";
import { eventHandlers } from "./events.js";
import { header } from "./header.js";
import { placeIcons } from "./icons.js";
import { Link } from "./link.js";
import { Moderation } from "./moderation.js";
import { Outbox } from "./outbox.js";
import { panel } from "./panels.js";
import { Presence } from "./presence.js";
import { Reading } from "./reading.js";
import { RoomList } from "./roomlist.js";
import { prepareSearch } from "./search.js";
import * as session from "./session.js";
import { Socket } from "./socket.js";
import { statusView } from "./status.js";
import { Timeline } from "./timeline.js";
import { complain, trying } from "./toast.js";
import { Town } from "./town.js";
import { Typing } from "./typing.js";

const REFRESH_MS = 30_000;
const FIRST_AGAIN_MS = 2_000;
const me = session.require();
header(me);
placeIcons();
prepareDialogs();

const send = (order) => socket.send(order);
const town = new Town(me, send);
const outbox = new Outbox(
  me,
  (order) => town.rooms.get(order.room)?.joined === true && send(order),
  (id) => timeline.changed(town.rooms.get(id)),
);

const composer = new Composer({
  onSend(text) {
    outbox.add(conversation.room.id, text);
    timeline.toEnd();
    typing.sent();
  },
  onEdit: trying(async (message, text) => {
    await patch(`/api/messages/${message.id}`, { text });
    return true;
  }),
  onTyping: () => typing.mine(() => send({ type: "typing", room: conversation.room.id })),
  lastMine: () => conversation.room?.messages.findLast((message) => message.user === me && !message.deleted),
});
const moderation = new Moderation({
  me,
  onEdit: (message) => composer.edit(message),
  onDirect: trying(async (username) => enterNew(await post("/api/rooms/direct", { username }))),
});
const timeline = new Timeline({
  me,
  outbox,
  onMenu: (room, message, button) => moderation.messageMenu(room, message, button),
  onOlder: (room) => room.older().catch(complain),
  onSeen: () => reading.look(),
});
const presence = new Presence({
  me,
  onMenu: (name, button) => moderation.personMenu(conversation.room, name, button),
});
const typing = new Typing();
const drawer = panel("rooms-panel", "rooms-toggle");
panel("people-panel", "people-toggle");
const roomList = new RoomList((room) => {
  conversation.open(room);
  drawer.close(false);
  // En un móvil, el foco levantaría el teclado sin pedirlo.
  if (matchMedia("(pointer: fine)").matches) composer.focus();
});
const drawRooms = throttle(120, () => roomList.show(town.all, conversation.room));
const drawPeople = throttle(120, () => presence.show(conversation.room));

const conversation = new Conversation({
  me, town, outbox, timeline, composer, typing, presence,
  onChange() {
    reading.look();
    drawRooms();
  },
});
const reading = new Reading(
  () => (!document.hidden && conversation.room?.loaded && timeline.atEnd ? conversation.room : null),
  send,
  drawRooms,
);

let chosen = false;
async function refresh() {
  try {
    await town.refresh();
  } catch {
    // Sin ninguna lista aún, la página está vacía: no se espera a la próxima vuelta.
    if (!chosen) setTimeout(refresh, FIRST_AGAIN_MS);
    return;
  }
  if (conversation.room && !town.rooms.has(conversation.room.id)) conversation.close();
  if (!chosen) choose();
  chosen = true;
  reading.look();
  drawRooms();
  drawPeople();
}

/** La que dice la dirección, la última que se abrió o alguna con algo por leer. */
function choose() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const room = town.rooms.get(Number(wanted.get("sala"))) ?? town.last ?? town.all.find((each) => each.unread);
  if (room) conversation.goTo(room, Number(wanted.get("mensaje")) || null);
  else conversation.close();
}

async function enterNew({ id }) {
  await town.refresh();
  const room = town.rooms.get(id);
  if (!room) throw new Error("Esa sala ya no se puede ver");
  conversation.open(room);
  drawer.close(false);
}

$("#new-room").addEventListener("click", () => openDialog("create-room", async ({ name, private: closed }) => {
  await enterNew(await post("/api/rooms", { name: name.trim(), private: closed === "on" }));
}));
$("#new-direct").addEventListener("click", () => openDialog("create-direct", async ({ username }) => {
  await enterNew(await post("/api/rooms/direct", { username: username.trim() }));
}));
$("#room-menu").addEventListener("click", ({ currentTarget }) => {
  moderation.roomMenu(conversation.room, currentTarget, (room) => {
    town.left(room);
    conversation.close();
    refresh();
  });
});
prepareSearch({
  me,
  room: () => conversation.room,
  nameOf: (id) => town.rooms.get(id)?.name ?? "otra sala",
  onPick: (message) => town.rooms.has(message.room) && conversation.goTo(town.rooms.get(message.room), message.id),
});

const chat = { me, town, outbox, timeline, conversation, typing, reading, refresh, drawRooms, drawPeople };
const socket = new Socket(eventHandlers(chat));
const show = statusView(() => link.retry());
const link = new Link((tools) => socket.open(tools), (news) => {
  show(news);
  if (news.state === "up") {
    town.joinAll();
    refresh();
  } else {
    town.disconnected();
    outbox.disconnected();
  }
});
refresh();
link.run();
setInterval(() => document.hidden || refresh(), REFRESH_MS);
