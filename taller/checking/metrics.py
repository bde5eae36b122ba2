"""Las métricas de una app, leídas como las lee Prometheus: sus series, si dicen la verdad y si se llaman como deben.

before = await scrape(app)
…                                        # lo que haga el control
await agrees(app, {"ws_connections": 2, 'ws_messages_total{direction="sent"}': before + 5}, since=before)
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from taller.checking.app import App
from taller.patience import patience
from taller.wire import Mismatch, transcript
from taller.wire.compare import difference, show

POLL_SECONDS = 0.01
HEADER = re.compile(r"^# (?P<what>HELP|TYPE) (?P<name>\S+)[ ]?(?P<value>.*)$", re.MULTILINE)
NAME = re.compile(r"[a-z][a-z0-9_]*")
# Prometheus pide unidades base, en plural; y el tipo ya lo dice la línea TYPE.
UNITS = {
    **dict.fromkeys(("ms", "millis", "milliseconds", "us", "microseconds", "ns", "nanoseconds"), "seconds"),
    **dict.fromkeys(("minutes", "hours", "days"), "seconds"),
    **dict.fromkeys(("kb", "mb", "gb", "kib", "mib", "gib", "kilobytes", "megabytes", "gigabytes"), "bytes"),
}
KINDS = {"gauge", "counter", "histogram", "summary"}


@dataclass(frozen=True)
class Scrape:
    """Lo que contestó `/metrics`: el valor de cada serie, el tipo de cada métrica y su ayuda.

    Una serie se nombra como en PromQL, con las etiquetas por orden alfabético: `jobs_total{kind="a",status="ok"}`.
    """

    series: Mapping[str, float]
    kinds: Mapping[str, str]
    helps: Mapping[str, str]

    def __getitem__(self, name: str) -> float:
        """
        Raises:
            Mismatch: no hay tal serie.
        """
        if name not in self.series:
            raise Mismatch(f"la serie {name} en /metrics", self._instead_of(name))
        return self.series[name]

    def of(self, metric: str) -> dict[str, float]:
        """Las series cuyo nombre, sin etiquetas, es `metric`."""
        return {name: value for name, value in self.series.items() if name.partition("{")[0] == metric}

    def bounds(self, histogram: str) -> list[float]:
        """Los límites de los cubos de un histograma, de menor a mayor, sin el infinito."""
        limits = {
            float(found[1]) for name in self.of(f"{histogram}_bucket") if (found := re.search(r'le="(.+?)"', name))
        }
        return sorted(limits - {float("inf")})

    def _instead_of(self, name: str) -> str:
        metric = name.partition("{")[0]
        near = [other for other in self.series if other.startswith(metric.removesuffix("_total"))]
        return f"en su lugar, {', '.join(near[:4])}" if near else f"ninguna que empiece por {metric}"


def parse(text: str) -> Scrape:
    """
    Raises:
        Mismatch: no está en el formato de texto de Prometheus.
    """
    found: dict[str, dict[str, str]] = {"HELP": {}, "TYPE": {}}
    for header in HEADER.finditer(text):
        found[header["what"]][header["name"]] = header["value"]
    try:
        families = list(text_string_to_metric_families(text))
    except ValueError as error:
        raise Mismatch("métricas en el formato de texto de Prometheus", f"no se entienden: {error}") from error
    series = {name_of(sample.name, sample.labels): sample.value for family in families for sample in family.samples}
    return Scrape(series, found["TYPE"], found["HELP"])


def name_of(metric: str, labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{metric}{{{pairs}}}" if pairs else metric


async def scrape(app: App, path: str = "/metrics") -> Scrape:
    """Una lectura de las métricas.

    Raises:
        Mismatch: no contesta 200 con `text/plain`, o no está en el formato de Prometheus.
    """
    response = await app.get(path, status=200)
    kind = response.headers.get("content-type", "")
    if not kind.startswith("text/plain"):
        raise Mismatch(f"que {path} conteste text/plain, con su versión (CONTENT_TYPE_LATEST)", kind or "sin tipo")
    return parse(response.text)


async def agrees(app: App, expected: Mapping[str, Any], *, since: Scrape | None = None, within: float = 1.0) -> Scrape:
    """Lee las métricas hasta que cada serie de `expected` valga lo que se dice, y devuelve esa lectura.

    Con `since`, lo esperado de un contador (`…_total`, `…_count`, `…_sum`, `…_bucket`) es lo que ha subido
    desde esa lectura.
    Un valor puede ser un patrón (`Approx`).

    Raises:
        Mismatch: no llega a ser verdad en `within` segundos; nombra la primera serie que no lo es.
    """
    deadline = asyncio.get_running_loop().time() + patience(within)
    while True:
        mark = len(transcript.entries)
        with transcript.summarized(f"{app.name}: GET /metrics"):
            found = await scrape(app)
        values = {name: found[name] - _base(name, since) for name in expected}
        transcript.add(app.name, "control", "http", " · ".join(f"{name} {_number(values[name])}" for name in expected))
        wrong = [name for name, wanted in expected.items() if difference(_exact(wanted), values[name])]
        if not wrong:
            return found
        if asyncio.get_running_loop().time() > deadline:
            rise = "que haya subido " if since and _accumulates(wrong[0]) else ""
            raise Mismatch(f"{wrong[0]}: {rise}{show(expected[wrong[0]])}", _number(values[wrong[0]]))
        del transcript.entries[mark:]
        await asyncio.sleep(POLL_SECONDS)


def _accumulates(name: str) -> bool:
    return name.partition("{")[0].endswith(("_total", "_count", "_sum", "_bucket"))


def _base(name: str, since: Scrape | None) -> float:
    return since.series.get(name, 0.0) if since and _accumulates(name) else 0.0


def _exact(wanted: Any) -> Any:
    return float(wanted) if isinstance(wanted, int) else wanted


def _number(value: float) -> str:
    return f"{value:.6g}"


def has_metrics(found: Scrape, kinds: Mapping[str, str]) -> None:
    """Exige que cada métrica de `kinds` exista con ese tipo (`{"ws_connections": "gauge"}`) y que todas se llamen bien.

    Raises:
        Mismatch: falta una, es de otro tipo, o alguna no sigue las convenciones de Prometheus.
    """
    for name, kind in kinds.items():
        if found.kinds.get(name) != kind:
            received = f"un {found.kinds[name]}" if name in found.kinds else _nearest(name, found)
            raise Mismatch(f"{name}, de tipo {kind}", received)
    if problems := list(lint(found)):
        raise Mismatch("métricas que se llaman y se explican como pide Prometheus", "; ".join(problems[:3]))


def _nearest(name: str, found: Scrape) -> str:
    near = [f"{other} ({kind})" for other, kind in found.kinds.items() if other.startswith(name.removesuffix("_total"))]
    return f"en su lugar, {', '.join(near)}" if near else "no está en /metrics"


def lint(found: Scrape) -> Iterator[str]:
    """Lo que Prometheus pediría cambiar, una frase por defecto."""
    for name, kind in found.kinds.items():
        yield from (f"{name}: {problem}" for problem in _problems(name, kind))
        if not found.helps.get(name):
            yield f"{name}: le falta la ayuda (HELP)"


def _problems(name: str, kind: str) -> Iterator[str]:
    words = name.split("_")
    if not NAME.fullmatch(name):
        yield "solo minúsculas, cifras y guiones bajos"
    if kind == "counter" and not name.endswith("_total"):
        yield "un contador acaba en _total"
    if kind != "counter" and name.endswith("_total"):
        yield f"_total es de los contadores, y esto es un {kind}"
    if kind != "histogram" and words[-1] in ("count", "sum", "bucket"):
        yield f"_{words[-1]} es de los histogramas"
    yield from (f"la unidad base es {UNITS[word]}, y no {word}" for word in words if word in UNITS)
    if KINDS & set(words):
        yield "el tipo no va en el nombre"


async def same_series(app: App, before: Scrape) -> None:
    """Exige que no haya series nuevas desde `before`: ninguna etiqueta toma un valor por cada cosa que pasa.

    Raises:
        Mismatch: han aparecido series.
    """
    found = await scrape(app)
    if new := sorted(set(found.series) - set(before.series)):
        expected = "las mismas series que antes: una etiqueta toma pocos valores, y conocidos"
        raise Mismatch(expected, f"{len(new)} series nuevas: {', '.join(new[:3])}")
