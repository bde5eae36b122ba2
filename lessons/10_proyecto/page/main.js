import { showControls } from "./controls.js";
import { $ } from "./dom.js";
import { showLedger } from "./ledger.js";

const source = new EventSource("api/events");
source.onmessage = ({ data }) => {
  const state = JSON.parse(data);
  showControls(state);
  showLedger(state);
};
source.onopen = () => link("passed", "en directo");
source.onerror = () => link("failed", "sin servidor; reintentando");

function link(verdict, text) {
  $("#link").className = `badge push ${verdict}`;
  $("#link").textContent = text;
}
