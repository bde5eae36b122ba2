/* Los mandos: cuánta gente mira, cuánto tarda la central y cómo está Redis. */

import { $, onPress, send } from "./dom.js";

const redisButtons = document.querySelectorAll("[data-redis]");
const NAMES = { up: "Redis está en marcha.", mute: "Redis acepta conexiones y no contesta.", down: "Redis ha muerto, con todo lo que guardaba." };

function show(settings) {
  $("#rate").value = settings.rate;
  $("#rate-shown").textContent = settings.rate;
  $("#seconds").value = settings.seconds;
  $("#seconds-shown").textContent = Math.round(settings.seconds * 1000);
  $("#failing").checked = settings.failing;
  for (const button of redisButtons) button.setAttribute("aria-pressed", button.dataset.redis === settings.redis);
}

const change = async (settings) => show(await send("PUT", "api/settings", settings));

async function tell(settings, text = "") {
  try {
    await change(settings);
    $("#said").textContent = text;
  } catch (problem) {
    $("#said").textContent = `No se pudo: ${problem.message}`;
  }
}

$("#rate").addEventListener("input", ({ target }) => tell({ rate: Number(target.value) }));
$("#seconds").addEventListener("input", ({ target }) => tell({ seconds: Number(target.value) }));
$("#failing").addEventListener("change", ({ target }) => tell({ failing: target.checked }));
for (const button of redisButtons) {
  onPress(button, $("#said"), async () => {
    await change({ redis: button.dataset.redis });
    return NAMES[button.dataset.redis];
  });
}
onPress($("#flush"), $("#said"), async () => {
  await send("POST", "api/flush");
  return "Caché vacía.";
});

export const readSettings = () => tell({});
