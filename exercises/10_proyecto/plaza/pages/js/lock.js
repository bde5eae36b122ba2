/* Que entre todas las pestañas solo una haga algo a la vez. */

const EXPIRES_MS = 10_000;
const TURN_MS = 60;
const me = crypto.getRandomValues(new Uint32Array(2)).join("-");

/** Hace `work` con el candado. Web Locks solo existe en páginas seguras (HTTPS o localhost); si no, localStorage. */
export function exclusively(name, work) {
  return navigator.locks ? navigator.locks.request(name, work) : withStorage(`plaza:candado:${name}`, work);
}

async function withStorage(key, work) {
  while (!(await taken(key))) await sleep(TURN_MS + Math.random() * TURN_MS);
  try {
    return await work();
  } finally {
    if (owner(key)?.who === me) localStorage.removeItem(key);
  }
}

/** Se apunta y, pasado un momento, mira si sigue apuntada: si dos escriben a la vez, gana la última. */
async function taken(key) {
  const current = owner(key);
  if (current && current.until > Date.now()) return false;
  localStorage.setItem(key, JSON.stringify({ who: me, until: Date.now() + EXPIRES_MS }));
  await sleep(TURN_MS);
  return owner(key)?.who === me;
}

function owner(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
