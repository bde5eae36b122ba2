/* Un viaje con cada orden, encendido paso a paso sobre su plano. */

import { Diagram } from "./diagram.js";
import { $, element, ms, onPress, post } from "./dom.js";

const NAMES = {
  database: "PostgreSQL: COMMIT", cache: "la caché tiene lo nuevo", answer: "contesta a quien lo pidió", publish: "Pub/Sub: sale la noticia",
  websocket: "le llega al WebSocket", sse: "le llega al flujo SSE", reread: "vuelve a leer el pedido", mail: "sale el correo",
};
const TURN_MS = 450;
const still = matchMedia("(prefers-reduced-motion: reduce)");
const pause = () => new Promise((done) => { setTimeout(done, still.matches ? 0 : TURN_MS); });
const lanes = Object.fromEntries(["naive", "right"].map((kind) => [kind, new Diagram($(`#${kind}-plan`))]));

$("#mail").addEventListener("input", ({ target }) => { $("#mail-shown").textContent = target.value; });

onPress($("#travel"), $("#travel-said"), async () => {
  const trips = await post("api/trips", { seconds: Number($("#mail").value) / 1000 });
  await Promise.all(Object.entries(trips).map(([kind, trip]) => show(kind, trip)));
  return `La noticia llegó a los ${ms(heardAt(trips.naive))} y a los ${ms(heardAt(trips.right))}.`;
});

const heardAt = (trip) => trip.steps.find(({ name }) => name === "websocket").at;

async function show(kind, trip) {
  const list = $(`#${kind}-steps`), verdict = $(`#${kind}-verdict`), lane = lanes[kind];
  const stale = trip.reread < trip.version;
  lane.clear();
  list.replaceChildren();
  verdict.replaceChildren();
  for (const [index, { name, at }] of trip.steps.entries()) {
    const reading = name === "reread";
    lane.light(name, index + 1, at, reading ? { stale, text: `lee v${trip.reread} ${stale ? "✗" : "✓"}` } : {});
    const item = element("li", reading && stale ? "bad" : "", NAMES[name], element("span", "mono push", ms(at)));
    list.append(item);
    await pause();
  }
  lane.describe(trip.steps.map(({ name, at }, index) => `${index + 1}.º ${NAMES[name]}, ${ms(at)}`).join("; "));
  const said = `Al recibir la noticia de la versión ${trip.version} leyó la ${trip.reread}`;
  verdict.append(element("span", `badge ${stale ? "failed" : "passed"}`, said));
}
