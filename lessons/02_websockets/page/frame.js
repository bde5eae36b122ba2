/* Cómo se dibuja cada suceso del cable: una línea, y al desplegarla, sus bytes. */

import { bytes, decimal, element, shorten } from "./dom.js";

export function renderEvent(event, cable) {
  if (event.kind === "end") return element("li", "event", element("div", "mono small", `  ${stamp(event)} ${cable.who} · ${ending(event, cable)}`));
  const arrow = event.direction === "up" ? "↑" : "↓";
  const summary = element("summary", "", `${stamp(event)} ${cable.who} ${arrow} `, element("span", "what", headline(event)), ` ${brief(event)}`);
  const detail = element("div", "detail", ...(event.kind === "head" ? [element("pre", "", event.text)] : frameDetail(event)));
  return element("li", event.direction, element("details", "", summary, detail));
}

const stamp = (event) => `${decimal(event.time, 3)} s`;

function headline(event) {
  if (event.kind === "head") return event.name.replace(" HTTP/1.1", "");
  return event.close_code ? `${event.name} ${event.close_code}` : event.name;
}

function brief(event) {
  if (event.kind === "head") return `· cabecera HTTP de ${event.header_size} B`;
  const flags = [event.fin ? "" : "sin FIN", event.compressed ? "RSV1" : "", event.mask ? "enmascarada" : ""].filter(Boolean);
  const text = event.compressed ? "(comprimida)" : shorten((event.text ?? bytes(event.payload).join(" ")).slice(0, 80));
  return `· cabecera ${event.header_size} B + carga ${event.length.toLocaleString("es")} B${flags.length ? ` · ${flags.join(", ")}` : ""} · ${text}`;
}

function ending(event, cable) {
  return `${event.name}${cable.switched && !cable.closed ? ", sin trama de cierre: el navegador verá 1006" : ""}`;
}

function frameDetail(event) {
  const header = bytes(event.header);
  const maskAt = event.mask ? header.length - 4 : header.length;
  const first = parseInt(header[0], 16), second = parseInt(header[1], 16);
  const traveled = onTheWire(event);
  const parts = [["b0", header.slice(0, 1)], ["b1", header.slice(1, 2)], ["b2", header.slice(2, maskAt)], ["b3", header.slice(maskAt)], ["b4", traveled]];
  const strip = element("p", "bytes", ...parts.filter(([, group]) => group.length).map(([name, group]) => element("span", name, group.join(" "))));
  if (event.length > traveled.length) strip.append("…");
  const rows = [
    [`${header[0]} = ${bits(first)}`, `FIN ${first >> 7}, RSV1 ${(first >> 6) & 1}, opcode 0x${(first & 15).toString(16)} ${event.name.toLowerCase()}`],
    [`${header[1]} = ${bits(second)}`, `MASK ${second >> 7}, longitud ${lengthField(second & 127)}`],
    ...(maskAt > 2 ? [[header.slice(2, maskAt).join(" "), `longitud de verdad: ${event.length.toLocaleString("es")}`]] : []),
    ...(event.mask ? [[header.slice(maskAt).join(" "), "clave de máscara, distinta en cada trama"]] : []),
    ...(event.close_code ? [[bytes(event.payload).slice(0, 2).join(" "), `código de cierre ${event.close_code}`]] : []),
  ];
  const list = element("dl", "", ...rows.flatMap(([code, meaning]) => [element("dt", "mono", code), element("dd", "", meaning)]));
  const readable = event.compressed ? "Comprimida con permessage-deflate: estos bytes no son texto." : (event.text ?? "Datos binarios.");
  return [strip, list, element("pre", "", readable + (event.length > 160 ? "…" : ""))];
}

const bits = (byte) => byte.toString(2).padStart(8, "0");
const lengthField = (short) => ({ 126: "126: sigue en 2 bytes", 127: "127: sigue en 8 bytes" })[short] ?? short;

// El relé guarda la carga ya desenmascarada; aplicar la máscara otra vez devuelve lo que viajó.
function onTheWire(event) {
  const mask = event.mask && bytes(event.mask).map((hex) => parseInt(hex, 16));
  return bytes(event.payload).slice(0, 48).map((hex, i) => (mask ? (parseInt(hex, 16) ^ mask[i % 4]).toString(16).padStart(2, "0") : hex));
}
