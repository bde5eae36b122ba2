import { showAll, showTask } from "./board.js";
import { $ } from "./dom.js";
import { showKinds } from "./kinds.js";
import { showLag, showProcesses, showStatus } from "./processes.js";

showKinds();
showProcesses();

const show = {
  processes: showStatus,
  lag: showLag,
  task: ({ task }) => showTask(task),
  tasks: ({ tasks }) => showAll(tasks),
};
const source = new EventSource("api/events");
source.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  show[event.type](event);
};
source.onopen = () => link("passed", "en directo");
source.onerror = () => link("failed", "sin servidor; reintentando");

function link(verdict, text) {
  $("#link").className = `badge push ${verdict}`;
  $("#link").textContent = text;
}
