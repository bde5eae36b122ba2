/* Los cuatro experimentos que se hacen de una vez. */

import { Chart } from "../common/chart.js";
import { $, element, ms, onPress, post } from "./dom.js";

const MAILS = [0, 0.25, 0.5, 0.75];
const KINDS = ["naive", "right"];
const delays = new Chart($("#delays-chart"), {
  kind: "bar", title: "Cuándo se entera quien mira, según lo que tarda el correo", y: { label: "noticia", unit: "ms" }, series: ["apuntes", "correcto"], height: 220,
});
const crowd = new Chart($("#crowd-chart"), {
  kind: "bar", title: "De 20 navegadores, los que se enteran", y: { label: "navegadores" }, series: ["navegadores"], height: 220,
});

/** Una casilla por intento: bien o mal, con su signo y su palabra. */
function squares(list, failures, bad, good) {
  list.replaceChildren(...failures.map((failed) => {
    const item = element("li", failed ? "stale" : "", failed ? "✗" : "✓");
    item.setAttribute("aria-label", failed ? bad : good);
    return item;
  }));
}

const count = (list) => list.filter(Boolean).length;

onPress($("#rereads"), $("#rereads-said"), async () => {
  const result = await post("api/rereads?count=30");
  for (const kind of KINDS) squares($(`#rereads-${kind}`), result[kind].stale, "lee lo de antes", "lee lo nuevo");
  return `Relecturas viejas: apuntes ${count(result.naive.stale)} de 30, correcto ${count(result.right.stale)} de 30.`;
});

onPress($("#deaths"), $("#deaths-said"), async () => {
  const result = await post("api/deaths");
  const mute = ({ changed, told }) => changed.map((done, index) => done && !told[index]);
  for (const kind of KINDS) squares($(`#deaths-${kind}`), mute(result[kind]), "cambio sin noticia", "cambio con su noticia");
  const lost = (kind) => `${count(mute(result[kind]))} de ${result[kind].changed.length}`;
  return `Cambios sin noticia: sin bandeja ${lost("naive")}, con bandeja ${lost("right")}.`;
});

onPress($("#crowd"), $("#crowd-said"), async () => {
  const { naive, right } = await post("api/crowd");
  crowd.set([{ label: "en memoria", values: [naive.reached] }, { label: "por Redis", values: [right.reached] }]);
  return `En memoria, ${naive.reached} (los ${naive.in_a} del proceso A); por Redis, ${right.reached} (${right.in_a} en A y ${right.in_b} en B).`;
});

onPress($("#delays"), $("#delays-said"), async () => {
  const measured = await post(`api/delays?${MAILS.map((seconds) => `mail=${seconds}`).join("&")}`);
  delays.set(measured.map(({ mail, naive, right }) => ({ label: ms(mail), values: [Math.round(naive), Math.round(right)] })));
  const last = measured.at(-1);
  return `Con el correo a ${ms(last.mail)}: ${ms(last.naive)} y ${ms(last.right)}.`;
});
