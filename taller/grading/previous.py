"""Lo que salió la vez anterior, para poder decir qué ha cambiado."""

import json
from pathlib import Path

from taller.grading.results import ClassResults


def previous_results(reports: Path) -> ClassResults | None:
    """None si no hubo otra vez, o si lo que dejó no se entiende."""
    try:
        return ClassResults.from_json(json.loads((reports / "resultados.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
