/* Los tokens que se pueden traer, y lo que cualquiera lee en uno sin tener la clave. */

import { $, element, send } from "./dom.js";

export const KINDS = {
  good: "bueno, 10 min", short: "caduca en 4 s", expired: "caducado", other_key: "firmado con otra clave", none: "sin firma (alg none)",
  hs512: "firmado con HS512", other_service: "para otro servicio", no_exp: "sin exp", no_sub: "sin sub", refresh: "de refresco",
};

/** Los que una puerta bien hecha deja pasar. */
export const FINE = ["good", "short"];

export const makeToken = async (kind) => (await send("POST", `api/tokens/${kind}`)).token;

const decode = (part) => {
  const bytes = Uint8Array.from(atob(part.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
};

export function showToken(token) {
  const parts = token.split(".");
  $("#token").replaceChildren(...parts.flatMap((part, index) => [index ? "." : "", element("span", `b${index}`, part)]));
  const [header, content] = parts.slice(0, 2).map(decode);
  const rows = { cabecera: header, contenido: content, firma: parts[2] ? "solo la hace quien tiene la clave" : "no lleva" };
  $("#parts").replaceChildren(...Object.entries(rows).map(([name, value]) =>
    element("div", "", element("dt", "", name), element("dd", "", typeof value === "string" ? value : JSON.stringify(value)))));
}

export const expiryOf = (token) => decode(token.split(".")[1]).exp ?? null;
