import "./experiments.js";
import { openBoards } from "./boards.js";
import { readSettings } from "./controls.js";
import { watch } from "./live.js";

await readSettings();
watch();
openBoards();
