import "./notify.js";
import "./shutdown.js";
import { $ } from "./dom.js";
import { showFarewell } from "./shutdown.js";
import { showSide } from "./tabs.js";

const source = new EventSource("api/events");
source.onmessage = ({ data }) => {
  const sides = JSON.parse(data);
  for (const kind of ["naive", "right"]) showSide(kind, sides[kind]);
  showFarewell(sides);
};
source.onopen = () => link("passed", "en directo");
source.onerror = () => link("failed", "sin servidor; reintentando");

function link(verdict, text) {
  $("#link").className = `badge push ${verdict}`;
  $("#link").textContent = text;
}
