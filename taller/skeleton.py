"""De la solución al esqueleto del estudiante.

En una solución, lo que escribe el estudiante va entre marcas; las líneas que empiezan por `#:` son el
código con el que arranca (se ejecuta, pero no pasa los controles):

    # region TODO 1: Contesta a cada eco con su texto.
    #: await websocket.close()
    …la solución…
    # endregion

El esqueleto conserva todo lo demás tal cual.
"""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from taller.catalog import ROOT, Exercise
from taller.errors import TallerError
from taller.regions import Region, RegionError, regions

TODO = re.compile(r"^TODO (?P<number>\d+): (?P<text>.+)$")
STARTER = "#:"
FINGERPRINTS = Path("exercises") / ".esqueletos.json"


class SkeletonError(TallerError):
    """Una solución no se puede convertir en esqueleto; el mensaje dice dónde y cómo arreglarlo."""


def todos(source: str) -> dict[int, Region]:
    """Las regiones que escribe el estudiante, por su número de TODO."""
    found: dict[int, Region] = {}
    for region in regions(source):
        if match := TODO.match(region.name):
            number = int(match["number"])
            if number in found:
                raise SkeletonError(f"línea {region.first + 1}: el TODO {number} está repetido")
            found[number] = region
    return found


def generate(source: str) -> str:
    """El esqueleto de una solución.

    Raises:
        SkeletonError: no hay ninguna región, o alguna no tiene código de partida.
    """
    try:
        marked = todos(source)
    except RegionError as error:
        raise SkeletonError(str(error)) from error
    if not marked:
        raise SkeletonError("no tiene ninguna región «# region TODO 1: …»")
    return replace_todos(source, marked, lambda region: list(_todo_lines(region)))


def replace_todos(source: str, marked: dict[int, Region], new: Callable[[Region], list[str]]) -> str:
    """`source` con cada región marcada sustituida por las líneas que dé `new`."""
    lines = source.splitlines()
    for region in sorted(marked.values(), key=lambda region: region.first, reverse=True):
        lines[region.first : region.last + 1] = new(region)
    return "\n".join(lines) + "\n"


def _todo_lines(region: Region) -> Iterator[str]:
    prose, starter = [], []
    for line in region.lines:
        stripped = line.strip()
        if stripped.startswith(STARTER):
            starter.append(region.indent + stripped.removeprefix(STARTER).removeprefix(" "))
        elif not starter and stripped.startswith("#"):
            prose.append(line)
        else:
            break
    if not starter:
        raise SkeletonError(f"línea {region.first + 1}: falta el código de partida, con líneas «#: …»")
    yield f"{region.indent}# {region.name}"
    yield from prose
    yield from (line.rstrip() for line in starter)


def skeleton_of(exercise: Exercise) -> str:
    """El esqueleto de un ejercicio, hecho de nuevo a partir de su solución."""
    try:
        return generate(exercise.solution_file.read_text(encoding="utf-8"))
    except SkeletonError as error:
        name = exercise.solution_file.relative_to(exercise.lesson.root)
        raise SkeletonError(f"{name}: {error}. Después: python3 curso.py autor sincronizar") from error


def is_edited(exercise: Exercise) -> bool:
    """Si el estudiante ha cambiado el archivo respecto del esqueleto."""
    path = exercise.student_file
    return path.exists() and path.read_text(encoding="utf-8", errors="replace") != skeleton_of(exercise)


def reset(exercise: Exercise, backups: Path) -> Path | None:
    """Devuelve el archivo a su esqueleto; si estaba editado, guarda antes una copia y devuelve dónde."""
    path, backup = exercise.student_file, None
    if is_edited(exercise):
        backup = backups / f"{exercise.id}-{exercise.name}-{time.strftime('%Y%m%d-%H%M%S')}.py"
        backup.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, backup)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(skeleton_of(exercise), encoding="utf-8")
    return backup


def fingerprints(exercises: list[Exercise]) -> dict[str, str]:
    """Huella de cada esqueleto: dice si la solución cambió sin regenerarlo, aunque el alumno lo haya editado."""
    return {
        exercise.relative.as_posix(): hashlib.sha256(skeleton_of(exercise).encode()).hexdigest()[:16]
        for exercise in exercises
    }


def stored_fingerprints(root: Path = ROOT) -> dict[str, str]:
    path = root / FINGERPRINTS
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def synchronize(exercises: list[Exercise], root: Path = ROOT) -> list[Exercise]:
    """Regenera los esqueletos; devuelve los que han cambiado. Es orden de autor: escribe sobre `exercises/`."""
    changed = [exercise for exercise in exercises if not exercise.student_file.exists() or is_edited(exercise)]
    for exercise in changed:
        exercise.student_file.parent.mkdir(parents=True, exist_ok=True)
        exercise.student_file.write_text(skeleton_of(exercise), encoding="utf-8")
    current = {**stored_fingerprints(root), **fingerprints(exercises)}
    kept = {name: value for name, value in current.items() if (root / "solutions" / name).exists()}
    (root / FINGERPRINTS).write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return changed
