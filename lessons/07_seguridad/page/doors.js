/* Llamar a las dos puertas con el mismo token y desde la misma página, y ver qué vio cada lado. */

import { $, decimal, element, onPress } from "./dom.js";
import { connect } from "./foreign.js";
import { expiryOf, FINE, KINDS, makeToken, showToken } from "./token.js";

const DOORS = ["naive", "right"];
const ANSWER_MS = 5000;
const LATE_SECONDS = 0.8;
const chosen = { kind: "good", from: "here" };
const visits = { naive: null, right: null };

const address = (door, token) => new URL(door === "naive" ? `naive/ws/${token}` : "right/ws", location.href.replace(/^http/, "ws")).href;
const introduce = (door, link, token) => { if (door === "right") link.send(JSON.stringify({ token })); };

function show(door, state, text) {
  const title = $(`#${door}-door`);
  title.dataset.state = state;
  if (title.textContent !== text) title.textContent = text;
}

function note(door, className, text) {
  const list = $(`#${door}-seen`);
  list.append(element("li", className, text));
  list.scrollTop = list.scrollHeight;
}

const hide = (text) => (text.length > 60 ? `${text.slice(0, 24)}…` : text);

async function call(door, token) {
  visits[door]?.link?.close();
  const visit = visits[door] = { link: null, expires: expiryOf(token), state: "knocking" };
  $(`#${door}-seen`).replaceChildren();
  show(door, "", "llamando…");
  note(door, "up", door === "naive" ? `abre naive/ws/${hide(token)}` : "abre right/ws");
  visit.link = await connect(address(door, token), chosen.from, (event) => {
    if (visits[door] !== visit) return;
    hear(door, visit, token, event);
  });
}

function hear(door, visit, token, event) {
  if (event.type === "open") {
    visit.state = "open";
    note(door, "event", "aceptado");
    if (door === "right") note(door, "up", `{"token": "${hide(token)}"}`);
    introduce(door, visit.link, token);
  } else if (event.type === "message") {
    const message = JSON.parse(event.data);
    note(door, message.type === "slow_down" ? "bad" : "down", event.data);
    if (message.type === "ready") { visit.state = "in"; show(door, "open", `dentro, como ${message.user}`); }
    if (message.type === "renewed") visit.expires = message.expires_at;
  } else {
    visit.state = "closed";
    note(door, "bad", `cierre ${event.code}${event.reason ? `: ${event.reason}` : ", sin motivo"}`);
    show(door, "closed", `cerrada: ${event.code}`);
  }
}

/** Cuánto le queda al token de cada visita, o cuánto hace que no debería seguir dentro. */
function tick() {
  for (const door of DOORS) {
    const visit = visits[door], clock = $(`#${door}-clock`), inside = visit?.state === "in";
    const left = inside && visit.expires !== null ? visit.expires - Date.now() / 1000 : null;
    const late = left !== null && left < -LATE_SECONDS;
    $(`#${door}-door`).dataset.late = late;
    if (!inside) clock.textContent = "";
    else if (visit.expires === null) clock.textContent = "su token no caduca nunca";
    else clock.textContent = late ? `el token caducó hace ${decimal(-left, 0)} s, y sigue dentro` : `al token le quedan ${decimal(Math.max(left, 0), 0)} s`;
  }
}

const press = (buttons, wanted) => buttons.forEach((button) => button.setAttribute("aria-pressed", button === wanted));

function kindButtons() {
  const buttons = Object.entries(KINDS).map(([kind, name]) => {
    const button = element("button", "", name);
    button.dataset.kind = kind;
    button.setAttribute("aria-pressed", kind === chosen.kind);
    button.addEventListener("click", () => { chosen.kind = kind; press(buttons, button); });
    return button;
  });
  return buttons;
}

/** Qué pasa con un token en una puerta, sin enseñarlo: entra, o con qué código se queda fuera. */
function outcome(door, token) {
  return new Promise((resolve) => {
    let link, done = false;
    const end = (result) => { if (!done) { done = true; resolve(result); link?.close(); } };
    setTimeout(() => end({ in: false, text: "sin respuesta" }), ANSWER_MS);
    connect(address(door, token), chosen.from, (event) => {
      if (event.type === "open") introduce(door, link, token);
      else if (event.type === "message") end({ in: true, text: "entra" });
      else end({ in: false, text: `fuera, ${event.code}` });
    }).then((opened) => { link = opened; });
  });
}

function resultCell(result, fine) {
  const cell = element("td", "");
  const right = result.in === fine;
  cell.append(element("span", result.in ? `in${fine ? " fine" : ""}` : `out${fine ? " bad" : ""}`, `${right ? "✓" : "✗"} ${result.text}`));
  return cell;
}

function readLog() {
  const source = new EventSource("api/log");
  source.onmessage = ({ data }) => {
    const { door, text } = JSON.parse(data), list = $(`#${door}-log`);
    // Lo que tiene la forma de un JWT, señalado: es una llave copiada.
    const pieces = text.split(/(eyJ[\w-]+\.[\w-]+\.[\w-]*)/);
    list.append(element("li", "", ...pieces.map((piece, index) => (index % 2 ? element("mark", "", piece) : piece))));
    while (list.children.length > 60) list.firstElementChild.remove();
    list.scrollTop = list.scrollHeight;
  };
}

export function openDoors() {
  $("#kinds").append(...kindButtons());
  const froms = [...document.querySelectorAll("[data-from]")];
  for (const button of froms) button.addEventListener("click", () => { chosen.from = button.dataset.from; press(froms, button); });

  onPress($("#knock"), $("#doors-said"), async () => {
    for (const door of DOORS) $(`#${door}-log`).replaceChildren();
    const token = await makeToken(chosen.kind);
    showToken(token);
    await Promise.all(DOORS.map((door) => call(door, token)));
    return `Token ${KINDS[chosen.kind]}, desde ${chosen.from === "here" ? "esta página" : "una página ajena"}.`;
  });
  onPress($("#say"), $("#doors-said"), async () => {
    const inside = DOORS.filter((door) => visits[door]?.state === "in");
    for (const door of inside) visits[door].link.send(JSON.stringify({ text: "hola" }));
    return inside.length ? "Dicho a quien está dentro." : "No estás dentro de ninguna: llama primero.";
  });
  onPress($("#renew"), $("#doors-said"), async () => {
    if (visits.right?.state !== "in") return "Para renovar hay que estar dentro de la correcta.";
    const token = await makeToken("good");
    note("right", "up", `{"token": "${hide(token)}"}`);
    visits.right.link.send(JSON.stringify({ token }));
    return "Renovado en la correcta; en la ingenua no hay cómo.";
  });
  onPress($("#all"), $("#doors-said"), async () => {
    $("#all-panel").hidden = false;
    $("#all-rows").replaceChildren();
    for (const [kind, name] of Object.entries(KINDS)) {
      const token = await makeToken(kind);
      const [naive, right] = await Promise.all(DOORS.map((door) => outcome(door, token)));
      // Desde una página ajena no debería entrar nadie, traiga lo que traiga.
      const fine = FINE.includes(kind) && chosen.from === "here";
      $("#all-rows").append(element("tr", "", element("td", "", name), resultCell(naive, fine), resultCell(right, fine)));
    }
    $("#all-panel").scrollIntoView({ block: "nearest" });
    return "Probados todos. ✗ es lo que no debería haber pasado.";
  });
  readLog();
  setInterval(tick, 200);
}
