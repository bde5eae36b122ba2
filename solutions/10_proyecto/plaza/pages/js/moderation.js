/* Lo que se puede hacer con un mensaje o con una persona. Quién puede lo decide el servidor: si no, dice que no. */

import { get, post, remove } from "./api.js";
import { $, button, element, moment } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { openMenu } from "./menu.js";
import { toast, trying } from "./toast.js";

const STAFF = ["owner", "moderator"];
/** Si el servidor dice el papel, no se ofrece lo que va a negar. */
const moderates = (room) => STAFF.includes(room.role);

export class Moderation {
  #me;
  #onEdit;
  #onDirect;

  constructor({ me, onEdit, onDirect }) {
    this.#me = me;
    this.#onEdit = onEdit;
    this.#onDirect = onDirect;
  }

  messageMenu(room, message, anchor) {
    const mine = message.user === this.#me;
    const erase = { text: "Borrar", danger: true, work: trying(() => remove(`/api/messages/${message.id}`)) };
    if (mine) {
      openMenu(anchor, [{ text: "Editar", work: () => this.#onEdit(message) }, erase], "Acciones del mensaje");
      return;
    }
    openMenu(anchor, [
      { text: "Denunciar…", work: () => this.#report(message) },
      { text: `Escribir a ${message.user}`, work: () => this.#onDirect(message.user) },
      ...(moderates(room) ? [erase, ...this.#sanctions(room, message.user)] : []),
    ], "Acciones del mensaje");
  }

  personMenu(room, name, anchor) {
    const path = `/api/rooms/${room.id}`;
    const promote = async () => {
      await post(`${path}/members`, { username: name, role: "moderator" });
      toast(`${name} ya modera esta sala.`);
    };
    openMenu(anchor, [
      { text: `Escribir a ${name}`, work: () => this.#onDirect(name) },
      ...(moderates(room)
        ? [
            ...this.#sanctions(room, name),
            { text: "Quitar el silencio", work: trying(() => this.#forgive(room, "mutes", name)) },
            { text: "Nombrar moderador", work: trying(promote) },
            { text: "Sacar de la sala", danger: true, work: trying(() => remove(`${path}/members/${name}`)) },
          ]
        : []),
    ], `Acciones para ${name}`);
  }

  roomMenu(room, anchor, onLeft) {
    const leave = async () => {
      await remove(`/api/rooms/${room.id}/members/${this.#me}`);
      onLeft(room);
    };
    const add = ({ username, role }) => post(`/api/rooms/${room.id}/members`, { username, role });
    const lift = ({ username }) => this.#forgive(room, "bans", username);
    openMenu(anchor, [
      ...(moderates(room)
        ? [
            { text: "Añadir a alguien…", work: () => openDialog("add-member", add, room.name) },
            { text: "Levantar una expulsión…", work: () => openDialog("lift-ban", lift, room.name) },
          ]
        : []),
      { text: "Ver denuncias…", work: trying(() => this.#reports()) },
      { text: "Salir de la sala", danger: true, work: trying(leave) },
    ], "Acciones de la sala");
  }

  #sanctions(room, name) {
    const apply = (measure) => async ({ minutes, reason }) => {
      const body = { username: name, minutes: Number(minutes), reason };
      const { expires_at } = await post(`/api/rooms/${room.id}/${measure}`, body);
      toast(`Hecho: ${name}, hasta el ${moment(expires_at)}.`);
    };
    return [
      { text: "Silenciar…", work: () => openDialog("sanction", apply("mutes"), `Silenciar a ${name} en ${room.name}`) },
      {
        text: "Expulsar…",
        danger: true,
        work: () => openDialog("sanction", apply("bans"), `Expulsar a ${name} de ${room.name}`),
      },
    ];
  }

  async #forgive(room, measure, name) {
    await remove(`/api/rooms/${room.id}/${measure}/${name}`);
    toast(`${name} puede volver a ${measure === "bans" ? "entrar" : "escribir"}.`);
  }

  #report(message) {
    const send = async ({ reason }) => {
      await post("/api/reports", { message: message.id, reason });
      toast("Denuncia enviada a quien modera la sala.");
    };
    openDialog("report", send, `«${message.text.slice(0, 120)}», de ${message.user}`);
  }

  async #reports() {
    const list = $("#report-list");
    const show = (reports) => {
      list.replaceChildren(...reports.map(entry));
      if (!reports.length) list.append(element("li", "soft", "No hay ninguna por atender en las salas que moderas."));
    };
    const entry = (report) => {
      const done = button("Atendida", "small", trying(async () => {
        await post(`/api/reports/${report.id}/resolve`);
        show(await get("/api/reports"));
      }));
      const what = `${report.reporter} denunció el mensaje ${report.message} el ${moment(report.created_at)}`;
      return element("li", "", element("p", "", element("strong", "", report.reason)), element("p", "soft small", what), done);
    };
    show(await get("/api/reports"));
    $("#reports").showModal();
  }
}
