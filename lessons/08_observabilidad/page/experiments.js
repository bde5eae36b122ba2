/* Los dos experimentos que se hacen de una vez: varios procesos y etiquetas. */

import { Chart } from "../common/chart.js";
import { $, decimal, onPress, send } from "./dom.js";

const fleet = new Chart($("#fleet-chart"), {
  kind: "bar", title: "Conexiones según cada lectura", y: { label: "conexiones" }, series: ["la de un proceso", "todos, con los muertos", "todos los vivos"], height: 240,
});
const labels = new Chart($("#labels-chart"), {
  kind: "bar", title: "Tamaño de /metrics", y: { label: "tamaño", unit: "kB" }, series: ["con el usuario", "sin él"], height: 200,
});

async function read(path) {
  const found = await send("POST", path);
  fleet.set(found.mine.map((_, turn) => ({ label: `${turn + 1}.ª`, values: [found.mine[turn], found.with_ghosts[turn], found.everybody[turn]] })));
  const range = (values) => (new Set(values).size === 1 ? values[0] : `de ${Math.min(...values)} a ${Math.max(...values)}`);
  return `Hay ${found.truth}. Un proceso: ${range(found.mine)}; con los muertos: ${range(found.with_ghosts)}; los vivos: ${range(found.everybody)}.`;
}

onPress($("#fleet"), $("#fleet-said"), () => read("api/fleet"));
onPress($("#kill"), $("#fleet-said"), () => read("api/fleet/kill"));

onPress($("#labels"), $("#labels-said"), async () => {
  const { naive, right } = await send("POST", "api/labels?users=1000");
  labels.set([{ label: "1000 usuarios", values: [naive.page_bytes / 1000, right.page_bytes / 1000] }]);
  return `Series: ${decimal(naive.series)} y ${right.series}. Memoria: ${decimal(naive.memory / 1000)} y ${decimal(right.memory / 1000)} kB.`;
});
