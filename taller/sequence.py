"""El diagrama de secuencia de una transcripción, dibujado en SVG: quién dijo qué a quién, y cuándo.

Lleva las clases que pinta la hoja de estilo del portal, así que se ve igual en claro y en oscuro, y su texto se puede
seleccionar. Es un dibujo: quien lo pone en una página pone al lado la misma historia en texto.
"""

from dataclasses import dataclass
from xml.etree import ElementTree as Xml

from taller.verdicts import Entry
from taller.visible import visible

LEAST_COLUMN, MOST_COLUMN = 168, 340
LEFT, HEAD, ROW, LINE, CHARACTER = 66, 44, 40, 14, 7
NARRATOR = "control"


@dataclass(frozen=True)
class Canvas:
    """Dónde cae cada participante."""

    x: dict[str, float]
    width: float


def sequence_svg(entries: list[Entry], room: int = 760) -> str:
    """El SVG de `entries`. `room` es el ancho que hay; si no cabe, sale más ancho y hay que desplazarlo."""
    canvas = _canvas(entries, room)
    svg = Xml.Element("svg", {"role": "img", "aria-label": f"Diagrama de secuencia de {len(entries)} pasos"})
    bottom = float(HEAD)
    rows = []
    for entry in entries:
        row, height = _row(entry, bottom, canvas)
        rows.append(row)
        bottom += height
    height = bottom + 16
    svg.attrib |= {"width": f"{canvas.width:g}", "height": f"{height:g}", "viewBox": f"0 0 {canvas.width:g} {height:g}"}
    for name, x in canvas.x.items():
        _line(svg, "lifeline", x, HEAD - 8, x, height - 4)
        _head(svg, name, x)
    svg.extend(rows)
    return Xml.tostring(svg, encoding="unicode", short_empty_elements=False)


def when(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms".replace(".", ",")


def route(entry: Entry) -> str:
    return entry.source if entry.source == entry.target else f"{entry.source} → {entry.target}"


def participants(entries: list[Entry]) -> list[str]:
    """Quien empieza queda a la izquierda; quien contesta, y lo que hay detrás de él, a la derecha."""
    callers: dict[str, None] = {}
    answerers: dict[str, None] = {}
    for entry in entries:
        if entry.source == entry.target == NARRATOR:
            continue
        if entry.source not in answerers:
            callers[entry.source] = None
        if entry.target not in callers:
            answerers[entry.target] = None
    return [*callers, *answerers]


def _canvas(entries: list[Entry], room: int) -> Canvas:
    people = participants(entries)
    count = max(len(people), 1)
    column = min(MOST_COLUMN, max(LEAST_COLUMN, (room - LEFT - 8) / count))
    return Canvas({name: LEFT + column * (index + 0.5) for index, name in enumerate(people)}, LEFT + column * count)


def _head(svg: Xml.Element, name: str, x: float) -> None:
    group = Xml.SubElement(svg, "g", {"class": "participant"})
    _box(group, "", x, min(LEAST_COLUMN - 10, len(name) * 8.5 + 28), 4, 28)
    _text(group, "", x, 23, _shortened(visible(name), LEAST_COLUMN - 34))


def _row(entry: Entry, top: float, canvas: Canvas) -> tuple[Xml.Element, float]:
    """Una fila y lo que ocupa: el texto que no cabe en un renglón sigue en otro."""
    group = Xml.Element("g", {"class": f"step {entry.kind}"})
    Xml.SubElement(group, "title").text = visible(f"{when(entry.t)} · {entry.text}")
    draw = _note if entry.source == entry.target else _arrow
    height = ROW + LINE * (draw(group, entry, top, canvas) - 1)
    _text(group, "time", LEFT - 8, top + height - 6, when(entry.t), anchor="end")
    return group, height


def _arrow(group: Xml.Element, entry: Entry, top: float, canvas: Canvas) -> int:
    start, end = canvas.x[entry.source], canvas.x[entry.target]
    toward = 1 if end > start else -1
    lines = _wrapped(entry.text, abs(end - start) - 22)
    y = top + ROW - 10 + LINE * (len(lines) - 1)
    _line(group, "arrow", start, y, end - toward * 7, y)
    Xml.SubElement(group, "path", {"class": "tip", "d": f"M{end:g} {y:g}l{-toward * 9} -4.5v9z"})
    _lines(group, lines, (start + end) / 2, y - 7)
    return len(lines)


def _note(group: Xml.Element, entry: Entry, top: float, canvas: Canvas) -> int:
    """Lo que le pasa a uno solo; lo que cuenta el control, de lado a lado."""
    widest = canvas.width - LEFT - 12
    x = canvas.x.get(entry.source)
    width = widest if x is None else min(len(entry.text) * CHARACTER + 20, widest)
    lowest, highest = LEFT + 6 + width / 2, canvas.width - 6 - width / 2
    center = (lowest + highest) / 2 if x is None else min(max(x, lowest), highest)
    lines = _wrapped(entry.text, width - 16)
    bottom = top + ROW - 4 + LINE * (len(lines) - 1)
    _box(group, "note", center, width, top + 8, bottom - top - 8)
    _lines(group, lines, center, bottom - 10)
    return len(lines)


def _wrapped(text: str, room: float) -> list[str]:
    """Dos renglones como mucho: el texto entero está en la lista."""
    text = visible(" ".join(text.split()))
    limit = _limit(room)
    if len(text) <= limit:
        return [text]
    space = text.rfind(" ", 0, limit + 1)
    cut = space if space > limit / 2 else limit
    return [text[:cut], _shortened(text[cut:].strip(), room)]


def _shortened(text: str, room: float) -> str:
    limit = _limit(room)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _limit(room: float) -> int:
    return max(4, int(room / CHARACTER))


def _lines(group: Xml.Element, lines: list[str], x: float, y: float) -> None:
    """Los renglones, centrados, con el último en `y`."""
    first = y - LINE * (len(lines) - 1)
    for index, line in enumerate(lines):
        _text(group, "message", x, first + LINE * index, line)


def _text(parent: Xml.Element, kind: str, x: float, y: float, text: str, anchor: str = "middle") -> None:
    place = {"class": kind, "x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor}
    Xml.SubElement(parent, "text", place).text = text


def _line(parent: Xml.Element, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    Xml.SubElement(parent, "line", {"class": kind, **{name: f"{value:g}" for name, value in ends.items()}})


def _box(parent: Xml.Element, kind: str, center: float, width: float, top: float, height: float) -> None:
    sides = {"x": center - width / 2, "y": top, "width": width, "height": height, "rx": 4}
    Xml.SubElement(parent, "rect", {"class": kind, **{name: f"{value:g}" for name, value in sides.items()}})
