/* Dos textos, uno sobre otro, con lo que difiere marcado. */

import { el } from "./dom.js";

const TOKEN = /[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu;
const LIMIT = 600;

export function contrast(expected, received) {
  const [left, right] = [expected.match(TOKEN) ?? [], received.match(TOKEN) ?? []];
  const shared = left.length > LIMIT || right.length > LIMIT ? null : commonTokens(left, right);
  return [marked(left, shared?.left, "missing"), marked(right, shared?.right, "extra")];
}

/** Qué fichas de cada lado están en la subsecuencia común más larga. */
function commonTokens(left, right) {
  const lengths = Array.from({ length: left.length + 1 }, () => new Uint16Array(right.length + 1));
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      lengths[i][j] = left[i] === right[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const shared = { left: new Set(), right: new Set() };
  for (let i = 0, j = 0; i < left.length && j < right.length; ) {
    if (left[i] === right[j]) {
      shared.left.add(i++);
      shared.right.add(j++);
    } else if (lengths[i + 1][j] >= lengths[i][j + 1]) i++;
    else j++;
  }
  return shared;
}

/** Solo se marca si queda bastante en común: dos frases sin nada que ver se leen mejor lisas. */
function marked(tokens, shared, kind) {
  const comparable = shared && shared.size >= tokens.length / 3;
  const nodes = [];
  let run = "";
  let inside = false;
  const flush = () => {
    if (run) nodes.push(inside ? el("mark", { class: kind }, run) : run);
    run = "";
  };
  tokens.forEach((token, index) => {
    const differs = Boolean(comparable) && !shared.has(index);
    if (differs !== inside) flush();
    inside = differs;
    run += token;
  });
  flush();
  return nodes;
}
