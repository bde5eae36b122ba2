/* Los mandos de los visitantes: cuántos, a qué ritmo, y cómo acaban. */

import { $, decimal, onPress, send } from "./dom.js";

const sliders = ["people", "rate", "slow"];
const value = (name) => Number($(`#${name}`).value);
let busy = Promise.resolve();

function show() {
  for (const name of sliders) $(`#${name}-shown`).textContent = value(name);
}

/** Un cambio tras otro, por orden, aunque el deslizador se mueva deprisa. */
function change(farewell) {
  const traffic = { people: value("people"), rate: value("rate"), slow: value("slow") / 1000, farewell };
  busy = busy.catch(() => {}).then(() => send("PUT", "api/traffic", traffic));
  return busy;
}

for (const name of sliders) {
  $(`#${name}`).addEventListener("input", async () => {
    show();
    try {
      await change("polite");
      $("#said").textContent = "";
    } catch (problem) {
      $("#said").textContent = `No se pudo: ${problem.message}`;
    }
  });
}
for (const button of document.querySelectorAll("[data-leave]")) {
  onPress(button, $("#said"), async () => {
    const people = value("people");
    $("#people").value = 0;
    show();
    await change(button.dataset.leave);
    return people ? `Se han ido ${people}.` : "No había nadie.";
  });
}
for (const button of document.querySelectorAll("[data-spoil]")) {
  onPress(button, $("#said"), async () => {
    await send("POST", `api/spoil/${button.dataset.spoil}`);
    return button.dataset.spoil === "invalid" ? "Cinco cerradas con 1003." : "Cinco cerradas con 1011.";
  });
}
onPress($("#freeze"), $("#said"), async () => {
  await send("POST", "api/freeze");
  return "Uno ha pedido 400 respuestas de 64 KiB y ha dejado de leer.";
});
onPress($("#collect"), $("#said"), async () => `El recolector ha encontrado ${decimal(await send("POST", "api/collect"))} objetos.`);

export async function takeOver() {
  show();
  await change("polite");
}
