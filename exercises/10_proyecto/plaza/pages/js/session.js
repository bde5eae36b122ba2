/* La sesión de esta persona, común a todas sus pestañas: guardarla, renovarla antes de que caduque y cerrarla.
 *
 * El token de renovación vale una vez: si dos pestañas lo usaran, el servidor creería que lo han robado y cerraría la
 * sesión. Por eso se renueva con un candado y, al entrar en él, se mira si otra pestaña ya lo ha hecho.
 */

import { exclusively } from "./lock.js";

const KEY = "plaza:sesion";
const EARLY = 0.75; // se renueva al pasar esta parte de su vida
const AGAIN_MS = 3000;
const AWAY = "No se ha podido hablar con el servidor";

export class SessionEnded extends Error {
  constructor() {
    super("La sesión ha terminado");
  }
}

const renewals = new EventTarget();
let timer = null;

export function current() {
  try {
    return JSON.parse(localStorage.getItem(KEY));
  } catch {
    return null;
  }
}

export function open(username, tokens) {
  const now = Date.now();
  const life = tokens.expires_in * 1000;
  const { access_token, refresh_token } = tokens;
  const session = { username, access_token, refresh_token, renew_at: now + life * EARLY, expires_at: now + life };
  localStorage.setItem(KEY, JSON.stringify(session));
  changed();
}

/** Llama a `work(token)` cada vez que hay un token de acceso nuevo, lo haya pedido esta pestaña u otra. */
export function onRenewed(work) {
  renewals.addEventListener("renewed", () => work(current().access_token));
}

/** Para las páginas que la necesitan: quién es, o a la puerta. Desde aquí, la sesión se renueva sola. */
export function require() {
  const session = current();
  if (!session) {
    leave("entra");
    throw new SessionEnded();
  }
  addEventListener("storage", ({ key }) => {
    if (key !== KEY && key !== null) return;
    const now = current();
    if (!now) leave("otra-pestana");
    else if (now.username !== session.username) location.reload();
    else changed();
  });
  schedule();
  return session.username;
}

/** Se olvida y va a la página de entrar, que dice por qué. */
export function leave(reason) {
  clearTimeout(timer);
  localStorage.removeItem(KEY);
  location.replace(`./?motivo=${reason}`);
}

/** Un token de acceso que no sea `stale`.
 * @throws {SessionEnded} si la sesión ya no se puede renovar
 */
export async function freshToken(stale) {
  return exclusively("plaza:renovar", async () => {
    const session = current();
    if (!session) throw new SessionEnded();
    if (session.access_token !== stale && session.expires_at > Date.now()) return session.access_token;
    const answer = await fetch("/api/refresh", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ refresh_token: session.refresh_token }),
    }).catch(() => {
      throw new Error(AWAY);
    });
    if (answer.status === 401) {
      leave("sesion");
      throw new SessionEnded();
    }
    if (!answer.ok) throw new Error(AWAY);
    const tokens = await answer.json();
    // Mientras tanto otra pestaña puede haber salido: no se resucita su sesión.
    if (current()?.refresh_token !== session.refresh_token) throw new SessionEnded();
    open(session.username, tokens);
    return current().access_token;
  });
}

function changed() {
  renewals.dispatchEvent(new Event("renewed"));
  schedule();
}

function schedule() {
  clearTimeout(timer);
  const session = current();
  if (!session) return;
  timer = setTimeout(renew, Math.max(0, session.renew_at - Date.now()) + Math.random() * 500);
}

async function renew() {
  const session = current();
  if (!session || session.renew_at > Date.now()) return schedule();
  try {
    await freshToken(session.access_token);
  } catch (problem) {
    if (!(problem instanceof SessionEnded)) timer = setTimeout(renew, AGAIN_MS + Math.random() * AGAIN_MS);
  }
}
