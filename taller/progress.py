"""El progreso del estudiante en esta máquina: `.taller/progreso.json`.

Se escribe entero y de una vez (archivo temporal y cambio de nombre): una interrupción no lo deja a medias.
Si alguien lo daña, se aparta con otro nombre y se empieza uno nuevo; nada se borra.
"""

import json
import os
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from taller.catalog import ROOT
from taller.errors import TallerError
from taller.verdicts import ExerciseVerdict

SCHEMA = 1


class ProgressError(TallerError):
    """El progreso no se puede leer o guardar; el mensaje termina con la orden que lo arregla."""


@dataclass
class Record:
    """Lo que se sabe de un ejercicio: mejores puntos, intentos, pistas vistas y cuándo se superó (ISO 8601)."""

    points: int = 0
    max_points: int = 0
    attempts: int = 0
    hints_seen: int = 0
    hints_by_check: dict[str, int] = field(default_factory=dict)
    passed_at: str | None = None
    solution_seen: bool = False


@dataclass
class Progress:
    """Los registros por identificador de ejercicio. `warning` avisa de que hubo que empezar de nuevo."""

    path: Path
    records: dict[str, Record] = field(default_factory=dict)
    warning: str = ""

    def of(self, exercise_id: str) -> Record:
        return self.records.setdefault(exercise_id, Record())

    def note(self, verdict: ExerciseVerdict) -> Record:
        """Apunta un intento; los puntos guardados son los mejores que se han conseguido."""
        record = self.of(verdict.id)
        record.attempts += 1
        record.max_points = verdict.max_points or record.max_points
        record.points = max(record.points, verdict.points)
        if verdict.passed and record.passed_at is None:
            record.passed_at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        return record

    def save(self) -> None:
        """
        Raises:
            ProgressError: no hay permiso o sitio para escribir.
        """
        data = {"schema": SCHEMA, "exercises": {key: asdict(record) for key, record in self.records.items()}}
        temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(data, indent=2, ensure_ascii=False), encoding="utf-8")
            temporary.replace(self.path)
        except OSError as error:
            raise ProgressError(
                f"No se puede guardar el progreso en {self.path.parent.name}/ ({error.strerror}). "
                "Da permiso de escritura a la carpeta del curso y repite: python3 curso.py comprobar"
            ) from error


def load_progress(root: Path = ROOT) -> Progress:
    """El progreso guardado, o uno vacío."""
    progress = Progress(root / ".taller" / "progreso.json")
    try:
        text = progress.path.read_text(encoding="utf-8")
        data = json.loads(text)["exercises"]
        progress.records = {key: _record(saved) for key, saved in data.items()}
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ProgressError(
            f"No se puede leer {progress.path.name} ({error.strerror}). "
            "Da permiso de lectura a la carpeta .taller y repite: python3 curso.py lista"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError):
        progress.warning = _set_aside(progress.path)
    return progress


def _record(saved: dict[str, Any]) -> Record:
    """Lo que apuntó otra versión del curso y esta no conoce, no estorba."""
    return Record(**{each.name: saved[each.name] for each in fields(Record) if each.name in saved})


def _set_aside(path: Path) -> str:
    kept = path.with_name(f"progreso-ilegible-{time.strftime('%Y%m%d-%H%M%S')}.json")
    path.replace(kept)
    return (
        f"El archivo de progreso no se entendía: está guardado como .taller/{kept.name} y se empieza uno nuevo. "
        "Para rehacerlo con lo que ya tienes: python3 curso.py comprobar"
    )
