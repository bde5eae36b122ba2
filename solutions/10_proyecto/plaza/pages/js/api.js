/* La API REST: pone el token, lo renueva si ha caducado y convierte cada negativa en un error que se puede enseñar. */

import { current, freshToken, leave, SessionEnded } from "./session.js";

const AWAY = "No se ha podido hablar con el servidor";

export class Refusal extends Error {
  /** `retryAfter`, en segundos, si el servidor lo ha dicho; `errors`, qué campos no valen. */
  constructor(status, { detail = AWAY, errors } = {}, retryAfter) {
    super(detail);
    this.errors = errors;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);
export const patch = (path, body) => call("PATCH", path, body);
export const remove = (path) => call("DELETE", path);

/** Un billete de un solo uso para abrir una conexión. */
export const ticket = async () => (await post("/api/tickets")).ticket;

export async function call(method, path, body) {
  return read(await authorized(path, { method, body }));
}

/** Una petición con el token de la sesión; si el servidor ya no lo acepta, con otro. */
export async function authorized(path, { headers = {}, ...options }) {
  const session = current();
  if (!session) {
    leave("entra");
    throw new SessionEnded();
  }
  const usable = session.expires_at > Date.now();
  const token = usable ? session.access_token : await freshToken(session.access_token);
  const first = await request(path, options, { ...headers, Authorization: `Bearer ${token}` });
  if (first.status !== 401) return first;
  return request(path, options, { ...headers, Authorization: `Bearer ${await freshToken(token)}` });
}

/** Sin sesión: solo para entrar y darse de alta. */
export async function publicPost(path, body) {
  return read(await request(path, { method: "POST", body }, {}));
}

async function request(path, { body, ...options }, headers) {
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, { ...options, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (problem) {
    throw problem.name === "AbortError" ? problem : new Refusal(0);
  }
}

async function read(answer) {
  const text = await answer.text();
  if (answer.ok) return text ? JSON.parse(text) : null;
  throw refusal(answer, text);
}

export function refusal(answer, text) {
  return new Refusal(answer.status, parsed(text), Number(answer.headers.get("Retry-After")) || undefined);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
