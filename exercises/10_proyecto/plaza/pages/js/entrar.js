/* La puerta: entrar, darse de alta, y decir por qué se ha vuelto aquí. */

import { publicPost } from "./api.js";
import { $ } from "./dom.js";
import { current, open } from "./session.js";

const REASONS = {
  entra: "Entra para seguir.",
  salir: "Has salido. Hasta pronto.",
  sesion: "Tu sesión se ha cerrado. Vuelve a entrar; lo que tuvieras sin enviar sigue guardado en este navegador.",
  "otra-pestana": "Has salido en otra pestaña.",
};
const MISTAKES = {
  username: "El nombre lleva de 2 a 32 minúsculas sin acentos, cifras o _.",
  email: "Ese correo no parece completo.",
  password: "La contraseña necesita ocho caracteres o más.",
};

if (current()) location.replace("chat.html");
const reason = REASONS[new URLSearchParams(location.search).get("motivo")];
if (reason) {
  $("#reason").textContent = reason;
  $("#reason").hidden = false;
  history.replaceState(null, "", location.pathname);
}

const tabs = [$("#tab-login"), $("#tab-join")];
tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => choose(index));
  tab.addEventListener("keydown", ({ key }) => {
    if (key !== "ArrowLeft" && key !== "ArrowRight") return;
    choose(1 - index);
    tabs[1 - index].focus();
  });
});

function choose(index) {
  tabs.forEach((tab, at) => {
    tab.setAttribute("aria-selected", String(at === index));
    tab.tabIndex = at === index ? 0 : -1;
    $(`#${tab.getAttribute("aria-controls")}`).hidden = at !== index;
  });
}

async function enter({ username, password }) {
  open(username, await publicPost("/api/login", { username, password }));
  location.replace("chat.html");
}

function onSubmit(form, work) {
  const said = $("[role=alert]", form);
  const submit = $("[type=submit]", form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(form));
    fields.username = fields.username.trim();
    submit.disabled = true;
    said.textContent = "";
    try {
      await work(fields);
    } catch (problem) {
      said.textContent = explain(problem);
      submit.disabled = false;
    }
  });
}

function explain({ message, retryAfter, errors = [] }) {
  const mistakes = errors.map(({ field }) => MISTAKES[field]).filter(Boolean);
  if (mistakes.length) return mistakes.join(" ");
  return retryAfter ? `${message}. Espera ${retryAfter} s.` : `${message}.`;
}

onSubmit($("#login"), enter);
onSubmit($("#join"), async (fields) => {
  await publicPost("/api/users", fields);
  await enter(fields);
});
