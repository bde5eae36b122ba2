/* Lo que se mide de una vez: memoria, procesos y el reloj. */

import { Chart } from "../common/chart.js";
import { $, decimal, onPress, send } from "./dom.js";

const memory = new Chart($("#memory-chart"), {
  kind: "bar", title: "Memoria ocupada", y: { label: "memoria", unit: "MB" }, series: ["con todos dentro", "pasada su ventana"], height: 210,
});
const allowed = new Chart($("#processes-chart"), {
  kind: "bar", title: "Peticiones que pasan, de ochenta, con un límite de diez", y: { label: "pasan" }, series: ["pasan"], height: 210,
});

export function openExperiments() {
  onPress($("#memory"), $("#memory-said"), async () => {
    const { naive, right } = await send("POST", "api/memory");
    memory.set([{ label: "la de los apuntes", values: [naive.full, naive.later] }, { label: "la que olvida", values: [right.full, right.later] }]);
    return `Quedan ${decimal(naive.later)} MB y ${decimal(right.later)} MB.`;
  });
  onPress($("#processes"), $("#processes-said"), async () => {
    const { memory: each, two_steps: two, one_step: one } = await send("POST", "api/processes");
    allowed.set([
      { label: "en memoria", values: [each] }, { label: "dos órdenes", values: [two] }, { label: "un guion", values: [one] },
    ]);
    return `Pasan ${each}, ${two} y ${one}.`;
  });
  onPress($("#jump"), $("#jump-said"), async () => {
    const { back, forward } = await send("POST", "api/jump");
    return `Con la hora de la máquina: si se atrasa, Ana se queda fuera ${decimal(back.locked_seconds, 0)} s en vez de 60; `
      + `si se adelanta, le caben otras ${forward.extra} de golpe. Con el reloj monótono no pasa nada: no salta.`;
  });
}
