/* Arranque de la página: conecta el flujo de sucesos con lo que haya en ella. */

import { connect } from "./stream.js";
import { Demo } from "./demo.js";
import { VerdictPanel } from "./verdict.js";
import { updateOverview } from "./overview.js";
import { ServicesPage } from "./services.js";
import { present } from "./presenter.js";
import { listenToActions } from "./actions.js";

const { lesson, focus } = document.body.dataset;
const panels = new Map([...document.querySelectorAll("[data-verdict]")].map((element) => [element.dataset.verdict, new VerdictPanel(element)]));
const demoElement = document.querySelector("[data-demo]");
const servicesElement = document.querySelector("[data-services]");
const presenterElement = document.querySelector("[data-presenter]");
if (presenterElement) present(presenterElement);
if (servicesElement) new ServicesPage(servicesElement);
const demo = demoElement && new Demo(demoElement);

const handlers = {
  snapshot({ exercises, trouble }) {
    showTrouble(trouble);
    for (const card of exercises) {
      panels.get(card.id)?.restore(card);
      updateOverview(card);
    }
    demo?.refresh();
  },
  running: ({ id }) => panels.get(id)?.start(),
  collected: ({ id, checks }) => panels.get(id)?.collect(checks),
  check: ({ id, check }) => panels.get(id)?.showCheck(check),
  finished(card) {
    panels.get(card.id)?.finish(card);
    updateOverview(card);
  },
  demo: (state) => demo?.show(state),
  trouble: ({ text }) => showTrouble(text),
};

function showTrouble(text) {
  const box = document.getElementById("trouble");
  box.hidden = !text;
  box.querySelector("p").textContent = text;
}

listenToActions();
connect({ lesson, exercise: focus || firstUnfinished() }, handlers, document.getElementById("connection"));

/** En la página de una lección, el ejercicio que más probablemente se guardará. */
function firstUnfinished() {
  const first = document.querySelector("[data-verdict]:not([data-passed])") ?? document.querySelector("[data-verdict]");
  return first?.dataset.verdict ?? "";
}
