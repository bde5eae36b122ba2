/* El vigilante: lo que haría un orquestador con cada manera de contestar a «¿cómo estás?». */

import { $, figures, onPress, send } from "./dom.js";

const EVERY_MS = 1000, PATIENCE_MS = 1000, FAILURES = 3;
const NAMES = { up: "Redis está en marcha.", mute: "Redis acepta conexiones y no contesta.", down: "Redis ha muerto." };
const asked = {
  naive: { path: "health", failures: 0, last: "–", restarts: 0 },
  live: { path: "health/live", failures: 0, last: "–", restarts: 0 },
  ready: { path: "health/ready", failures: 0, last: "–" },
};

async function probe(one) {
  const started = performance.now();
  let status = "nada en 1 s", good = false;
  try {
    const answer = await fetch(one.path, { signal: AbortSignal.timeout(PATIENCE_MS) });
    [status, good] = [answer.status, answer.ok];
  } catch { /* se cansó de esperar */ }
  one.last = typeof status === "number" ? `${status} · ${Math.round(performance.now() - started)} ms` : status;
  one.failures = good ? 0 : one.failures + 1;
  if ("restarts" in one && one.failures && one.failures % FAILURES === 0) one.restarts += 1;
}

const times = (count) => `${count} ${count === 1 ? "vez" : "veces"}`;

function show() {
  const { naive, live, ready } = asked;
  const work = (one) => (one.failures >= FAILURES ? "✗ no" : "✓ sí");
  figures($("#naive-health"), [["contesta", naive.last], ["lo habrían reiniciado", times(naive.restarts)], ["recibe trabajo", work(naive)]]);
  figures($("#right-health"), [["vivo", live.last], ["dispuesto", ready.last], ["lo habrían reiniciado", times(live.restarts)], ["recibe trabajo", work(ready)]]);
}

export function keepWatch() {
  show();
  setInterval(async () => {
    if (document.hidden) return;
    await Promise.all(Object.values(asked).map(probe));
    show();
  }, EVERY_MS);
}

for (const button of document.querySelectorAll("[data-redis]")) {
  onPress(button, $("#health-said"), async () => {
    const { state } = await send("PUT", "api/redis", { state: button.dataset.redis });
    for (const other of document.querySelectorAll("[data-redis]")) other.setAttribute("aria-pressed", other.dataset.redis === state);
    return NAMES[state];
  });
}
