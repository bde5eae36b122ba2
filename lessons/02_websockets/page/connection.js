/* Por dónde se conecta la página: por el relé si está en la misma máquina; si no, directa al servidor. */

export const base = new URL(".", location.href);
export const onLoopback = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);

// El relé cambia de puerto al reiniciar el servidor: se pregunta cada vez.
export async function wireOrigin() {
  if (!onLoopback) return location.host;
  const { port } = await (await fetch("api/relay")).json();
  return `127.0.0.1:${port}`;
}

export async function open(path, protocols = []) {
  const origin = await wireOrigin();
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return new WebSocket(`${scheme}://${origin}${base.pathname}${path}`, protocols);
}
