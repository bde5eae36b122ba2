"""Los plazos: cuánto pierde quien entrega tarde. Los escribe quien enseña, en un archivo TOML.

zona = "Europe/Madrid"       # la de las horas que no la digan; si falta, la de esta máquina
por_dia = 0.1                # la parte de los puntos de una lección que se pierde por cada día empezado
maximo = 0.5                 # lo más que se pierde
gracia_minutos = 15

[plazos]
02 = 2026-11-20T23:59:00
todas = 2026-12-01T23:59:00  # las lecciones que no se nombran

[entregas]                   # cuándo entregó cada cual, si no vale la fecha de sus archivos
ana_perez = 2026-11-21T10:00:00
"""

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from taller.grading.errors import GradingError
from taller.grading.results import Late
from taller.grading.submissions import Submission

REST = "todas"
KEYS = {"zona", "por_dia", "maximo", "gracia_minutos", "plazos", "entregas"}
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Deadlines:
    """Sin plazos, nadie llega tarde."""

    by_lesson: dict[str, datetime] = field(default_factory=dict)
    submitted: dict[str, datetime] = field(default_factory=dict)
    per_day: float = 0.0
    most: float = 1.0
    grace: timedelta = timedelta()

    def submitted_at(self, submission: Submission, modified_at: datetime | None) -> datetime | None:
        """Cuándo se entregó: lo que diga `[entregas]` de su carpeta o su nombre o, si no, la fecha de sus archivos."""
        return self.submitted.get(submission.key) or self.submitted.get(submission.student) or modified_at

    def refuse_strangers(self, submissions: Iterable[Submission]) -> None:
        """
        Raises:
            GradingError: `[entregas]` nombra a alguien que no ha entregado: será una errata, y le costaría puntos.
        """
        known = {name for each in submissions for name in (each.key, each.student)}
        if strangers := sorted(set(self.submitted) - known):
            raise GradingError(
                f"En [entregas] de los plazos está «{strangers[0]}», y no hay ninguna entrega con ese nombre. "
                "Compáralo con los que salen sin: --plazos"
            )

    def late(self, lessons: Iterable[int], submitted_at: datetime | None) -> list[Late]:
        """Los retrasos de una entrega en esas lecciones."""
        found = []
        for lesson in sorted(set(lessons)):
            deadline = self.by_lesson.get(f"{lesson:02}", self.by_lesson.get(REST))
            if deadline and submitted_at and submitted_at > deadline + self.grace:
                days = math.ceil((submitted_at - deadline) / DAY)
                found.append(Late(lesson, deadline, submitted_at, round(min(self.most, self.per_day * days), 4)))
        return found


def read_deadlines(path: Path) -> Deadlines:
    """
    Raises:
        GradingError: el archivo no está, o no se entiende.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return _deadlines(data)
    except OSError as error:
        raise GradingError(f"No se puede leer {path} ({error.strerror}). Mira si está con: ls {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValueError, AttributeError, LookupError) as error:
        raise GradingError(f"No entiendo los plazos de {path}: {error}. Corrígelo con: nano {path}") from None


def _deadlines(data: dict[str, Any]) -> Deadlines:
    if unknown := set(data) - KEYS:
        raise ValueError(f"no existe «{min(unknown)}»")
    zone = ZoneInfo(data["zona"]) if "zona" in data else None
    dates = {
        table: {key: _moment(key, value, zone) for key, value in data.get(table, {}).items()}
        for table in ("plazos", "entregas")
    }
    by_lesson = {key if key == REST else f"{int(key):02}": value for key, value in dates["plazos"].items()}
    per_day, most = float(data.get("por_dia", 0.0)), float(data.get("maximo", 1.0))
    if not 0 <= per_day <= 1 or not 0 <= most <= 1:
        raise ValueError("por_dia y maximo van de 0 a 1")
    grace = timedelta(minutes=float(data.get("gracia_minutos", 0)))
    return Deadlines(by_lesson, dates["entregas"], per_day, most, grace)


def _moment(key: str, value: Any, zone: tzinfo | None) -> datetime:
    if not isinstance(value, datetime):
        raise ValueError(f"«{key}» tiene que ser una fecha con hora, como 2026-11-20T23:59:00")
    if value.tzinfo is not None:
        return value
    return value.replace(tzinfo=zone) if zone else value.astimezone()
