/* Un flujo SSE leído con fetch: así puede llevar el token y `Last-Event-ID`, que un EventSource nuevo no sabe enviar. */

import { authorized, refusal } from "./api.js";

const SILENCE_MS = 35_000; // el servidor da señales cada 15 s

/**
 * Abre el flujo y llama a `receive({ event, id, data })` con cada suceso. Acaba cuando se acaba.
 * @param tools  { signal, up } de Link
 */
export async function follow(path, { signal, up, lastId, receive }) {
  const silent = new AbortController();
  const headers = { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) };
  const answer = await authorized(path, { headers, cache: "no-store", signal: AbortSignal.any([signal, silent.signal]) });
  if (!answer.ok) throw refusal(answer, await answer.text());
  up();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let timer = null;
  let rest = "";
  try {
    for (;;) {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE_MS);
      const { value, done } = await reader.read();
      if (done) return {};
      const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop();
      blocks.map(parse).filter(Boolean).forEach(receive);
    }
  } catch {
    return {}; // se ha cortado: se volverá a abrir
  } finally {
    clearTimeout(timer);
  }
}

function parse(block) {
  const event = { event: "message", data: [] };
  for (const line of block.split("\n")) {
    const [, field, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (field === "data") event.data.push(value);
    else if (field === "event" || field === "id") event[field] = value;
  }
  return event.data.length ? { ...event, data: JSON.parse(event.data.join("\n")) } : null;
}
