import { openDoors } from "./doors.js";
import { openExperiments } from "./experiments.js";
import { openLimits } from "./limits.js";
import { openRoom } from "./room.js";

openDoors();
openExperiments();
await openLimits();
await openRoom();
document.body.dataset.ready = "true";
