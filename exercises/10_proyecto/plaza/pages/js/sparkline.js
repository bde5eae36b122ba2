/* Una curva pequeña en SVG: lo último, en su tarjeta. Un lector de pantalla oye el resumen. */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 240;
const HEIGHT = 56;

export class Sparkline {
  svg = node("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  top = 0; // el valor más alto a la vista
  #series;
  #most;

  /** @param series  cuántas curvas  @param most  cuántos puntos se ven */
  constructor(series, most = 90) {
    this.#series = Array.from({ length: series }, () => []);
    this.#most = most;
  }

  /** Un valor por curva; null es que no se sabe, y deja un hueco. */
  push(...values) {
    this.#series.forEach((points, index) => {
      points.push(values[index] ?? null);
      if (points.length > this.#most) points.shift();
    });
  }

  draw(label, ceiling) {
    const all = this.#series.flat().filter((value) => value !== null);
    this.top = ceiling ?? Math.max(...all, 0);
    const scale = (this.top || 1) * 1.08;
    const shapes = [node("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT })];
    this.#series.forEach((points, index) => {
      const runs = this.#runs(points, scale);
      if (index === 0) shapes.push(...runs.map((run) => node("path", { class: "area", d: area(run) })));
      const d = runs.map((run) => `M${run.join("L")}`).join("");
      shapes.push(node("path", { class: index ? "line second" : "line", d }));
    });
    this.svg.setAttribute("aria-label", label);
    this.svg.replaceChildren(...shapes);
  }

  #runs(points, scale) {
    const step = WIDTH / (this.#most - 1);
    const start = this.#most - points.length;
    const runs = [[]];
    points.forEach((value, index) => {
      if (value === null) runs.push([]);
      else runs.at(-1).push(`${((start + index) * step).toFixed(1)},${(HEIGHT - (value / scale) * HEIGHT).toFixed(1)}`);
    });
    return runs.filter((run) => run.length).map((run) => (run.length > 1 ? run : [run[0], nudge(run[0])]));
  }
}

// Un punto suelto no se vería: se estira un poco.
function nudge(point) {
  const [x, y] = point.split(",");
  return `${(Number(x) + 1.5).toFixed(1)},${y}`;
}

function area(run) {
  const edge = (point) => point.split(",")[0];
  return `M${edge(run[0])},${HEIGHT}L${run.join("L")}L${edge(run.at(-1))},${HEIGHT}Z`;
}

function node(name, attributes) {
  const created = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  return created;
}
