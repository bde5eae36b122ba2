/* El texto de una persona, convertido en nodos de texto: con sus menciones marcadas y sus enlaces, y nunca como HTML. */

import { element } from "./dom.js";

const SPECIAL = /(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]])|(?<![\p{L}\p{N}_@])@([a-z0-9_]{2,32})(?![\p{L}\p{N}_])/gu;

export function rich(text, me) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(SPECIAL)) {
    nodes.push(text.slice(from, match.index), match[1] ? link(match[1]) : mention(match[2], me));
    from = match.index + match[0].length;
  }
  nodes.push(text.slice(from));
  return nodes;
}

export function mentions(text, me) {
  return [...text.matchAll(SPECIAL)].some((match) => match[2] === me);
}

function link(address) {
  const created = element("a", "", address);
  created.href = address; // la expresión solo deja pasar http y https
  created.target = "_blank";
  created.rel = "noopener noreferrer";
  return created;
}

function mention(name, me) {
  return element("mark", name === me ? "mention me" : "mention", `@${name}`);
}
