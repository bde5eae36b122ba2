/* Lo que llega por el WebSocket, y a quién le toca. */

import { post } from "./api.js";
import { $ } from "./dom.js";
import { countNotices } from "./header.js";
import { toast } from "./toast.js";

const AGAIN_MS = 1000;

/** @param chat  { me, town, outbox, timeline, conversation, typing, reading, refresh, drawRooms, drawPeople } */
export function eventHandlers(chat) {
  const { me, town, outbox, timeline, conversation, typing, reading } = chat;

  function joined(news) {
    const room = town.rooms.get(news.room);
    if (!room) return;
    room.enter(news);
    outbox.pump(room.id);
    if (room !== conversation.room) return;
    conversation.load();
    chat.drawPeople();
  }

  function happened(event) {
    const room = town.rooms.get(event.room);
    const outcome = room?.take(event, me);
    if (outcome === "gap") town.catchUp(room);
    if (outcome !== "new") return;
    if (event.type === "message") spoke(room, event);
    if (room === conversation.room) {
      timeline.changed(room, event.type === "message" ? 1 : 0);
      reading.look();
    }
    chat.drawRooms();
  }

  function spoke(room, message) {
    if (message.user === me) outbox.seen(message);
    if (!room.members.has(message.user)) {
      room.notice(message.user, true);
      chat.drawPeople();
    }
    typing.stopped(message);
    if (room === conversation.room && message.user !== me) {
      $("#spoken").textContent = `${message.user}: ${message.text}`;
    }
  }

  function error(problem) {
    if (problem.client_id) outbox.refused(problem);
    const room = town.rooms.get(problem.room);
    if (!room) return;
    if (problem.re === "join") room.asked = false;
    if (problem.code === "not_joined") {
      room.joined = false;
      town.join(room);
    } else if (problem.re === "join" && problem.code === "unavailable") {
      setTimeout(() => town.join(room), (problem.retry_after ?? 1) * AGAIN_MS);
    } else if (problem.code === "forbidden" && (problem.re === "join" || !problem.re)) {
      expelled(room, problem.detail);
    }
  }

  function expelled(room, why) {
    town.left(room);
    if (room === conversation.room) {
      toast(`${room.name}: ${why}`, { tone: "bad" });
      conversation.close();
    }
    chat.refresh();
  }

  async function notification(notice) {
    if (notice.room === conversation.room?.id && !document.hidden && notice.kind !== "moderation") {
      // De lo que se está viendo no hace falta avisar: ya está leído.
      await post(`/api/notifications/${notice.id}/read`).catch(() => countNotices(1));
      return;
    }
    countNotices(1);
    if (!town.rooms.has(notice.room)) await chat.refresh();
    const room = town.rooms.get(notice.room);
    toast(notice.text, { action: room && { text: "Ver", work: () => conversation.goTo(room, notice.message) } });
  }

  function presence({ room, user, online }) {
    town.rooms.get(room)?.notice(user, online);
    if (room === conversation.room?.id) chat.drawPeople();
  }

  return {
    joined,
    message: happened,
    edited: happened,
    deleted: happened,
    error,
    notification,
    typing(news) {
      typing.heard(news);
      presence({ ...news, online: true });
    },
    ack: (ack) => outbox.acked(ack, ack.seq <= (town.rooms.get(ack.room)?.position?.seq ?? 0)),
    presence,
  };
}
