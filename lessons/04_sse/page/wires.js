/* Los cables: un puerto por vía, que cuenta lo que cruza y se puede cortar. Solo en esta misma máquina. */

export const base = new URL(".", location.href);
export const onLoopback = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);

/** Dónde está una vía. */
export async function origin(lane) {
  if (!onLoopback) return location.host;
  const ports = await (await fetch("api/wires")).json();
  return `127.0.0.1:${ports[lane]}`;
}

export const url = async (lane, path) => `${location.protocol}//${await origin(lane)}${base.pathname}${path}`;
export const socketUrl = async (lane, path) => (await url(lane, path)).replace(/^http/, "ws");
export const cut = async (lane) => (await (await fetch(`api/wires/${lane}/cut`, { method: "POST" })).json()).connections;
export const meters = async () => (await fetch("api/meters")).json();
export const resetMeters = () => fetch("api/wires/reset", { method: "POST" });
