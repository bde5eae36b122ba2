/* La cabecera de las tres páginas de dentro: dónde estás, cómo va la conexión, quién eres y cuántos avisos tienes. */

import { get, post } from "./api.js";
import { $, avatar, button, element } from "./dom.js";
import { icon } from "./icons.js";
import { leave } from "./session.js";

const PAGES = [
  ["chat.html", "chat", "Chat"],
  ["tablero.html", "pulse", "Tablero"],
  ["notificaciones.html", "bell", "Avisos"],
];

export function header(me) {
  const nav = element("nav", "site-nav", ...PAGES.map(link));
  nav.setAttribute("aria-label", "Páginas de Plaza");
  const brand = element("a", "brand", element("span", "brand-mark"), "Plaza");
  brand.href = "chat.html";
  $("#site").append(brand, nav, status(), account(me));
  $("#site").after(statusBar());
  countNotices();
}

/** Cuántos avisos hay sin leer; `news` suma sin preguntar. */
export async function countNotices(news = 0) {
  const badge = $("#notices-count");
  if (news) return show(badge, Number(badge.dataset.count ?? 0) + news);
  const unread = await get("/api/notifications?unread=true").catch(() => null);
  if (unread) show(badge, unread.length);
}

function show(badge, count) {
  badge.dataset.count = count;
  badge.hidden = count === 0;
  badge.replaceChildren(count > 99 ? "99+" : String(count), element("span", "visually-hidden", " sin leer"));
}

function link([page, name, text]) {
  const created = element("a", "", icon(name), element("span", "", text));
  created.href = page;
  if (location.pathname.endsWith(page)) created.setAttribute("aria-current", "page");
  if (name === "bell") {
    const badge = element("span", "count");
    badge.id = "notices-count";
    badge.hidden = true;
    created.append(" ", badge);
  }
  return created;
}

function status() {
  const [words, count] = [element("span", ""), element("span", "")];
  words.id = "status-words";
  count.id = "status-count";
  count.setAttribute("aria-hidden", "true");
  const badge = element("span", "badge running", words, count);
  badge.id = "status";
  badge.setAttribute("role", "status");
  return badge;
}

function statusBar() {
  const why = element("p", "");
  why.id = "status-why";
  why.setAttribute("role", "status");
  const again = button("Reintentar ya", "small", () => {});
  again.id = "status-retry";
  const bar = element("div", "status-bar", why, again);
  bar.id = "status-bar";
  bar.hidden = true;
  return bar;
}

function account(me) {
  const out = button("", "quiet", async () => {
    out.disabled = true;
    // Aunque el servidor no conteste, aquí se sale: este navegador olvida la sesión.
    await post("/api/logout").catch(() => {});
    leave("salir");
  });
  out.id = "logout";
  out.append(icon("exit"), element("span", "", "Salir"));
  const name = element("span", "who", avatar(me), element("span", "who-name", me));
  return element("div", "account", name, out);
}
