/* El flujo de sucesos (SSE). El navegador se reconecta solo; aquí se dice cómo va. */

const NAMES = ["snapshot", "running", "collected", "check", "finished", "demo", "trouble"];
const RETRY_MS = 1000;
const TEXTS = {
  connecting: "conectando…",
  open: "en vivo",
  lost: "sin conexión: reconectando…",
};

export function connect(query, handlers, status) {
  const source = new EventSource(`/api/events?${new URLSearchParams(query)}`);
  const say = (state) => {
    status.dataset.state = state;
    if (status.textContent !== TEXTS[state]) status.textContent = TEXTS[state];
  };
  source.addEventListener("open", () => say("open"));
  source.addEventListener("error", () => {
    say("lost");
    // Tras una respuesta que no es un flujo (un 502, un 403), el navegador abandona: se empieza otro.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => connect(query, handlers, status), RETRY_MS);
  });
  for (const name of NAMES) {
    source.addEventListener(name, (event) => handlers[name](JSON.parse(event.data)));
  }
  // Una página guardada para «atrás» no debe retener el flujo.
  addEventListener("pagehide", () => source.close(), { once: true });
  addEventListener("pageshow", (event) => event.persisted && location.reload(), { once: true });
}
