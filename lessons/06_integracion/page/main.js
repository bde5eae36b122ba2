import "./trips.js";
import "./experiments.js";
