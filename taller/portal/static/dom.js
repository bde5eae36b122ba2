/* Construir elementos: el texto entra siempre como texto, nunca como HTML. */

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** Una sola frase, dicha por el lector de pantalla sin interrumpir. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

export function plural(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}
