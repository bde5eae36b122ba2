/* Los pocos iconos de Plaza: trazos SVG que toman el color del texto. Siempre acompañan a una palabra o a una etiqueta. */

const SVG = "http://www.w3.org/2000/svg";
const PATHS = {
  hash: "M6 3 5 17M13 3l-1 14M3 7.500h14M2.500 12.500h14",
  lock: "M5 9h10v8H5zM7 9V6a3 3 0 0 1 6 0v3",
  plus: "M10 4v12M4 10h12",
  search: "M9 14a5 5 0 1 0 0-10 5 5 0 0 0 0 10zM13 13l4 4",
  people: "M7.500 9a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2 17c0-3 2.500-5 5.500-5s5.500 2 5.500 5M13 3.500a3 3 0 0 1 0 5.500M15 12.500c2 .7 3 2.300 3 4.500",
  menu: "M3 5.500h14M3 10h14M3 14.500h14",
  more: "M4.500 10h.01M10 10h.01M15.500 10h.01",
  send: "M3 10 17 3l-4 14-3.500-5.500zM9.500 11.500 17 3",
  close: "M5 5l10 10M15 5 5 15",
  down: "M10 4v12M5 11l5 5 5-5",
  chat: "M3 4h14v10H9l-4 3v-3H3z",
  pulse: "M2 11h4l2-6 4 11 2-5h4",
  bell: "M10 3a4.500 4.500 0 0 0-4.500 4.500c0 4-1.500 5.500-1.500 5.500h12s-1.500-1.500-1.500-5.500A4.500 4.500 0 0 0 10 3zM8.500 16a1.500 1.500 0 0 0 3 0",
  exit: "M8 3H4v14h4M9 10h8M14 6.500 17.500 10 14 13.500",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Pone su icono a cada `data-icon` de la página. */
export function placeIcons(root = document) {
  for (const place of root.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));
}
