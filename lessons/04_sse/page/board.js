/* La comparación: una fila por vía, con lo que ha recibido y lo que le ha costado. */

import { Chart } from "../common/chart.js";
import { $, badge, decimal, element, whole } from "./dom.js";
import { lanes, socket } from "./lanes.js";
import { cut, meters, onLoopback, resetMeters } from "./wires.js";

const began = performance.now();
const names = lanes.map((lane) => lane.label);
const delays = new Chart($("#delay-chart"), {
  title: "Retraso de cada precio al llegar", window: 30, height: 200,
  x: { label: "tiempo", unit: "s" }, y: { label: "retraso", unit: "ms" }, series: names,
});
const costs = new Chart($("#cost-chart"), {
  title: "Bytes que cruzan el cable por cada precio recibido", kind: "bar", stacked: true, height: 200,
  y: { label: "bytes", unit: "B" }, series: ["cliente → servidor", "servidor → cliente"],
});

// Los contadores son del servidor: se empieza de cero con cada página.
if (onLoopback) await resetMeters();
for (const lane of lanes) {
  lane.onTick = () => delays.push(lane.label, (performance.now() - began) / 1000, Math.max(lane.delay, 0));
  lane.start();
}

async function refresh() {
  let counted = {};
  try {
    if (onLoopback) counted = await meters();
    $("#server-gone").hidden = true;
  } catch {
    $("#server-gone").hidden = false;
  }
  $("#lanes").replaceChildren(...lanes.map((lane) => row(lane, counted[lane.name])));
  costs.set(lanes.map((lane) => ({ label: lane.label, values: perTick(lane, counted[lane.name]) })));
}

const perTick = (lane, meter) => (meter && lane.received ? [meter.up, meter.down].map((total) => Math.round(total / lane.received)) : [0, 0]);

function row(lane, meter) {
  const [up, down] = perTick(lane, meter);
  const cells = [whole(lane.received), whole(lane.lost), whole(lane.cuts), meter ? whole(meter.opened) : "–",
    meter ? `${whole(up)} B` : "–", meter ? `${whole(down)} B` : "–", lane.delay === null ? "–" : `${decimal(Math.max(lane.delay, 0), 0)} ms`];
  const line = element("tr", "", element("th", "", lane.label), element("td", "", badge(...lane.state)),
    ...cells.map((text) => element("td", "num", text)));
  line.id = `lane-${lane.name}`;
  return line;
}

$("#cut-all").addEventListener("click", async () => { for (const lane of lanes) await cut(lane.name); });
$("#reopen").addEventListener("click", () => socket.start());
$("#reset").addEventListener("click", async () => {
  await resetMeters();
  for (const lane of lanes) lane.reset();
  refresh();
});
$("#cut-all").disabled = $("#reset").disabled = !onLoopback;
setInterval(refresh, 500);
refresh();
