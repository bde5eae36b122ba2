/* Las cuatro vías. Cada una empieza con `start(pane, place, settings)` y devuelve cómo se para.
 * `place` dice por dónde hablar: { http: "http://127.0.0.1:49321/", ws: "ws://127.0.0.1:49321/" }. */

const RETRY = 1000;
const depth = (settings) => `depth=${settings.depth}`;

/** Repite `once` hasta que se pare; entre una vez y otra espera lo que diga `pause`. */
function repeating(pane, once, pause) {
  const stopping = new AbortController();
  let timer;
  async function round() {
    let wait = pause();
    try {
      await once(stopping.signal);
    } catch {
      wait = RETRY;
      if (!stopping.signal.aborted) pane.lost();
    }
    if (!stopping.signal.aborted) timer = setTimeout(round, wait);
  }
  round();
  return () => { stopping.abort(); clearTimeout(timer); };
}

// region sondeo
function poll(pane, place, settings) {
  const ask = async (signal) => {
    // Con «no-cache», el navegador guarda la respuesta y añade él mismo If-None-Match a la pregunta.
    const cache = settings.memory ? "no-cache" : "no-store";
    const answer = await fetch(`${place.http}api/price?${depth(settings)}`, { cache, signal });
    pane.receive(await answer.json());
  };
  return repeating(pane, ask, () => settings.interval);
}
// endregion

// region sondeo_largo
function longPoll(pane, place, settings) {
  const ask = async (signal) => {
    const url = `${place.http}api/price/next?after=${pane.number}&${depth(settings)}`;
    const answer = await fetch(url, { cache: "no-store", signal });
    if (answer.status === 200) pane.receive(await answer.json());
  };
  return repeating(pane, ask, () => 0);
}
// endregion

// region sse
function sse(pane, place, settings) {
  const source = new EventSource(`${place.http}api/price/stream?${depth(settings)}`);
  source.onmessage = ({ data }) => pane.receive(JSON.parse(data));
  source.onerror = () => pane.lost(); // y el navegador vuelve a conectar él solo
  return () => source.close();
}
// endregion

// region websocket
function webSocket(pane, place, settings) {
  let socket, timer, stopped = false;
  function open() {
    socket = new WebSocket(`${place.ws}ws/price?${depth(settings)}`);
    socket.onmessage = ({ data }) => pane.receive(JSON.parse(data));
    socket.onclose = () => {
      if (stopped) return;
      pane.lost();
      timer = setTimeout(open, RETRY * (0.5 + Math.random())); // aquí, reconectar es cosa nuestra
    };
  }
  open();
  pane.send = (text) => { if (socket.readyState === WebSocket.OPEN) socket.send(text); };
  return () => { stopped = true; clearTimeout(timer); socket.close(); };
}
// endregion

export const transports = {
  poll: { name: "Sondeo", short: "Sondeo", how: "Pregunta cada poco, haya o no novedades.", start: poll },
  long: { name: "Sondeo largo", short: "Largo", how: "Pregunta y espera: le contestan cuando cambia.", start: longPoll },
  sse: { name: "SSE", short: "SSE", how: "Pregunta una vez; la respuesta no termina.", start: sse },
  ws: { name: "WebSocket", short: "WS", how: "Abre una conexión en la que hablan los dos.", start: webSocket },
};
