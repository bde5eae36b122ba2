import "./board.js";
import "./cable.js";
import "./crowd.js";
import "./naive.js";
import "./shutdown.js";
import { $ } from "./dom.js";
import { onLoopback } from "./wires.js";

$("#no-wires").hidden = onLoopback;
