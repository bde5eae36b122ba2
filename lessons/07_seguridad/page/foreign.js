/* Un WebSocket abierto desde esta página o desde otra. La otra es un marco aislado: el navegador le da un origen que no es
   el nuestro (Origin: null), como a cualquier web ajena. */

const SCRIPT = `
  addEventListener("message", ({ data, ports: [port] }) => {
    const socket = new WebSocket(data.url);
    const tell = (event) => port.postMessage(event);
    socket.onopen = () => tell({ type: "open" });
    socket.onmessage = ({ data }) => tell({ type: "message", data });
    socket.onclose = ({ code, reason }) => tell({ type: "close", code, reason });
    port.onmessage = ({ data }) => { if (data === null) socket.close(); else if (socket.readyState === 1) socket.send(data); };
  });
  parent.postMessage("ready", "*");`;

let frame;

/** El marco, ya listo para recibir encargos. */
function otherPage() {
  frame ??= new Promise((resolve) => {
    const created = document.createElement("iframe");
    created.sandbox = "allow-scripts";
    created.hidden = true;
    created.title = "Una página ajena";
    addEventListener("message", ({ source, data }) => {
      if (source === created.contentWindow && data === "ready") resolve(created.contentWindow);
    });
    created.srcdoc = `<script>${SCRIPT}</${"script"}>`;
    document.body.append(created);
  });
  return frame;
}

/** Abre `url` y cuenta lo que pasa: { type: "open" | "message" | "close", … }. Devuelve cómo hablar y cómo cerrar. */
export async function connect(url, from, tell) {
  if (from === "here") {
    const socket = new WebSocket(url);
    socket.onopen = () => tell({ type: "open" });
    socket.onmessage = ({ data }) => tell({ type: "message", data });
    socket.onclose = ({ code, reason }) => tell({ type: "close", code, reason });
    return { send: (data) => socket.readyState === 1 && socket.send(data), close: () => socket.close() };
  }
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }) => tell(data);
  (await otherPage()).postMessage({ url }, "*", [port2]);
  return { send: (data) => port1.postMessage(data), close: () => port1.postMessage(null) };
}
