"""Páginas que se bastan a sí mismas: sin guiones, sin red y sin nada de fuera, ni siquiera la hoja de estilo.

Todo lo que una plantilla escribe pasa por `visible` y se escapa; la política de contenido prohíbe lo demás, así que lo
que un estudiante haya puesto en su nombre o en su salida no se puede ejecutar.
"""

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from taller.catalog import ROOT
from taller.grading.reports.contrast import contrast
from taller.grading.results import Late
from taller.portal.highlight import highlighted
from taller.sequence import route, sequence_svg, when
from taller.verdicts import Entry
from taller.visible import visible

STYLES = (
    ROOT / "lessons" / "common" / "style.css",
    ROOT / "taller" / "portal" / "static" / "portal.css",
    Path(__file__).with_name("reports.css"),
)
# Un diagrama más largo se pliega por partes; de uno sin fin se enseña el principio.
FIRST_STEPS = 40
MOST_STEPS = 240


def write_page(path: Path, template: str, **context: Any) -> Path:
    path.write_text(_environment().get_template(template).render(context), encoding="utf-8")
    return path


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("taller.grading.reports"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = "\n".join(path.read_text(encoding="utf-8") for path in STYLES)
    environment.globals |= {"css": Markup(css), "policy": _policy(css)}
    environment.filters |= {
        "number": number,
        "percent": percent,
        "moment": moment,
        "level": level,
        "late": late_text,
        "when": when,
        "route": route,
        "contrast": contrast,
        "diagrams": lambda entries: list(_diagrams(entries)),
        "python": lambda code: Markup(highlighted(visible(code))),
    }
    return environment


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _policy(css: str) -> str:
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _diagrams(entries: list[Entry]) -> Iterator[tuple[int, Markup]]:
    """El diagrama, por partes: cuántos pasos tiene cada una y su dibujo."""
    for first, last in ((0, FIRST_STEPS), (FIRST_STEPS, MOST_STEPS)):
        if part := entries[first:last]:
            yield len(part), Markup(sequence_svg(part))


def number(value: float) -> str:
    return f"{round(value, 2):g}".replace(".", ",").replace("-", "−")


def percent(part: float) -> str:
    return f"{100 * part:.0f} %"


def moment(date: datetime) -> str:
    return f"{date:%d/%m/%Y %H:%M %Z}".strip()


def level(points: float, most: float) -> str:
    """De `l0`, nada, a `l4`, todo."""
    if points >= most:
        return "l4"
    return "l0" if points <= 0 else f"l{1 + min(int(3 * points / most), 2)}"


def late_text(late: Late) -> str:
    minutes = round((late.submitted_at - late.deadline).total_seconds() / 60)
    days, hours = divmod(minutes // 60, 24)
    parts = [(days, "d"), (hours, "h"), (minutes % 60, "min")]
    delay = " ".join(f"{amount} {unit}" for amount, unit in parts if amount)
    return f"lección {late.lesson}, {delay or 'menos de un minuto'} tarde: −{percent(late.penalty)}"
