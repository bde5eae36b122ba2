/* Lo que pasó en un control: su diagrama de secuencia, que dibuja el portal, y la misma historia en una lista. */

import { el } from "./dom.js";
import { player } from "./replay.js";

/** `url` es la del diagrama; `room`, el ancho que hay: si el diagrama no cabe, se desplaza. */
export async function story(entries, url, room) {
  const list = el("ol", { class: "log story-list", tabindex: "0", "aria-label": "Lo que pasó, en orden" }, ...entries.map(line));
  const drawing = await draw(`${url}?room=${Math.round(room)}`);
  const rows = drawing ? [...drawing.querySelectorAll(".step")] : [];
  return [
    rows.length > 1 && player(rows, entries.map(({ text }) => text)),
    drawing && el("div", { class: "sequence", tabindex: "0", role: "group", "aria-label": "Diagrama de secuencia; la lista que sigue dice lo mismo" }, drawing),
    el("details", { class: "as-list", "data-key": "list", open: !drawing }, el("summary", {}, "Lo mismo, en una lista"), list),
  ].filter(Boolean);
}

/** Nada si el portal no contesta o ya tiene otro veredicto: la lista basta. */
async function draw(url) {
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) return null;
  return new DOMParser().parseFromString(await response.text(), "text/html").querySelector("svg");
}

function line(entry) {
  const route = entry.from === entry.to ? entry.from : `${entry.from} → ${entry.to}`;
  const kind = entry.from === entry.to ? "event" : entry.to === "app" ? "up" : "down";
  return el("li", { class: kind }, el("span", { class: "soft mono when" }, when(entry.t)), " ", el("strong", {}, route), " ", el("span", { class: "mono" }, entry.text));
}

function when(seconds) {
  return `${(seconds * 1000).toLocaleString("es", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} ms`;
}
