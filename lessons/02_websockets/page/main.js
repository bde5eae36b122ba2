import "./cost.js";
import "./handshake.js";
import { onLoopback } from "./connection.js";
import { $ } from "./dom.js";
import { people } from "./people.js";
import { watchWire } from "./wire.js";

$("#no-relay").hidden = onLoopback;
await watchWire();
for (const person of people) await person.connect();
