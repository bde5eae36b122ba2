/* El apretón de manos: peticiones escritas a mano, y la cuenta de Sec-WebSocket-Accept. */

import { $, element } from "./dom.js";

async function tryHandshake(variant, box) {
  const answer = await fetch(`api/handshakes/${variant}`, { method: "POST" });
  if (!answer.ok) throw new Error("el servidor no pudo probar el apretón; recarga la página");
  const { request, response, status } = await answer.json();
  const verdict = element("span", `badge ${status === 101 ? "passed" : "failed"}`, String(status));
  const size = new TextEncoder().encode(request + (status === 101 ? response : "")).length;
  const cost = status === 101 ? element("p", "small soft", `Petición y respuesta: ${size} bytes.`) : "";
  box.replaceChildren(element("pre", "", request.trim()), element("p", "", verdict), element("pre", "", response.trim()), cost);
}

$("#try-both").addEventListener("click", () => {
  $("#naive").dataset.label = "Ingenuo: sin versión";
  tryHandshake("no-version", $("#naive"));
  tryHandshake("complete", $("#right"));
});
for (const button of document.querySelectorAll("[data-variant]")) {
  button.addEventListener("click", () => {
    $("#naive").dataset.label = `Rechazado: ${button.textContent.toLowerCase()}`;
    tryHandshake(button.dataset.variant, $("#naive"));
  });
}

async function showAccept() {
  const joined = `${$("#key").value.trim()}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  $("#accept-joined").textContent = joined;
  if (!crypto.subtle) return void ($("#accept-digest").textContent = "este navegador solo calcula SHA-1 en localhost o con HTTPS");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-1", new TextEncoder().encode(joined)));
  $("#accept-digest").textContent = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  $("#accept-value").textContent = btoa(String.fromCharCode(...digest));
}
$("#key").addEventListener("input", showAccept);
showAccept();
