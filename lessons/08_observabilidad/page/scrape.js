/* Leer /metrics como lo lee Prometheus: texto a series, y de las series, ritmos y percentiles. */

const LINE = /^(?<name>[a-zA-Z_:][\w:]*)(?<labels>\{.*\})? (?<value>\S+)/;

/** De texto a un Map: «nombre{etiquetas}» → valor. */
export function parse(text) {
  const series = new Map();
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (found) series.set(found.groups.name + (found.groups.labels ?? ""), Number(found.groups.value.replace("+Inf", "Infinity")));
  }
  return series;
}

/** Lo que sube un contador por segundo entre dos lecturas; null si no hay dos. Es el rate() de PromQL. */
export function rate(name, before, after) {
  if (!before?.series.has(name) || !after.series.has(name)) return null;
  const rise = after.series.get(name) - before.series.get(name);
  return Math.max(rise, 0) / (after.at - before.at);
}

/** Lo que cayó en cada cubo entre dos lecturas: [[límite, acumulado], …]. */
export function buckets(name, before, after) {
  const found = [];
  for (const [key, value] of after.series) {
    const limit = key.startsWith(`${name}_bucket{`) && /le="([^"]+)"/.exec(key);
    if (limit) found.push([limit[1] === "+Inf" ? Infinity : Number(limit[1]), value - (before?.series.get(key) ?? 0)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}

/** El percentil que da un histograma, como histogram_quantile(): dentro del cubo, en línea recta. En segundos, o null. */
export function quantile(share, cumulative) {
  const total = cumulative.at(-1)?.[1] ?? 0;
  if (!total) return null;
  const wanted = share * total;
  let [low, below] = [0, 0];
  for (const [limit, count] of cumulative) {
    if (count >= wanted) return limit === Infinity ? low : low + ((limit - low) * (wanted - below)) / (count - below || 1);
    [low, below] = [limit, count];
  }
  return low;
}
