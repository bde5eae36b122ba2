import "./experiments.js";
import { keepWatch } from "./health.js";
import { watchTrail } from "./trail.js";
import { takeOver } from "./visitors.js";
import { watch } from "./watch.js";

await takeOver();
watch();
watchTrail();
keepWatch();
