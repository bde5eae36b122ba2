"""De la solución al esqueleto del estudiante.

En una solución, lo que escribe el estudiante va entre marcas; las líneas que empiezan por `#:` son el
código con el que arranca (se ejecuta, pero no pasa los controles):

    # region TODO 1: Contesta a cada eco con su texto.
    #: await websocket.close()
    …la solución…
    # endregion

El esqueleto conserva todo lo demás tal cual. En un proyecto, los TODO están repartidos por los módulos del paquete,
y su número dice de qué etapa son: los de la etapa 2 van del 20 al 29.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from taller.catalog import ROOT, Exercise, Lesson
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


def generate(source: str, wanted: Callable[[int], bool] = lambda number: True) -> str:
    """El esqueleto de una solución; con `wanted`, solo de esos TODO, y lo demás resuelto.

    Raises:
        SkeletonError: no hay ninguna región, o alguna no tiene código de partida.
    """
    try:
        marked = todos(source)
    except RegionError as error:
        raise SkeletonError(str(error)) from error
    if not marked:
        raise SkeletonError("no tiene ninguna región «# region TODO 1: …»")
    chosen = {number: region for number, region in marked.items() if wanted(number)}
    return replace_todos(source, chosen, lambda region: list(_todo_lines(region)))


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


def stage_of(number: int) -> int:
    """La etapa de un proyecto a la que pertenece un TODO."""
    return number // 10


def sources(exercise: Exercise) -> dict[Path, str]:
    """Lo que escribe el estudiante, resuelto: ruta dentro de `exercises/` → texto de la solución.

    Es su archivo y, en un proyecto, los módulos del paquete que tienen algún TODO de su etapa.
    """
    solutions = exercise.lesson.root / "solutions"
    own = {exercise.relative: exercise.solution_file.read_text(encoding="utf-8")}
    modules = {path: text for path, text in package_modules(exercise.lesson).items() if _stages(text, path)}
    return own | {
        path.relative_to(solutions): text for path, text in modules.items() if exercise.number in _stages(text, path)
    }


def package_modules(lesson: Lesson) -> dict[Path, str]:
    """Los módulos del paquete de un proyecto y su texto; vacío si la lección no lo es."""
    if lesson.package is None:
        return {}
    folder = lesson.root / "solutions" / lesson.slug / lesson.package
    return {path: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))}


def _stages(text: str, path: Path) -> set[int]:
    try:
        return {stage_of(number) for number in todos(text)}
    except RegionError as error:
        raise SkeletonError(f"{path.name}: {error}") from error


def skeletons(exercise: Exercise) -> dict[Path, str]:
    """Lo mismo que `sources`, sin resolver: tal como lo recibe el estudiante."""
    return {path: _skeleton(exercise, path, text) for path, text in sources(exercise).items()}


def skeleton_of(exercise: Exercise) -> str:
    """El esqueleto del archivo de un ejercicio, hecho de nuevo a partir de su solución."""
    return skeletons(exercise)[exercise.relative]


def _skeleton(exercise: Exercise, path: Path, text: str) -> str:
    # En un proyecto, el archivo de cada etapa solo trae el enunciado: los TODO están en el paquete.
    if exercise.lesson.package is not None and path == exercise.relative:
        return text
    try:
        return generate(text)
    except SkeletonError as error:
        raise SkeletonError(
            f"solutions/{path.as_posix()}: {error}. Después: python3 curso.py autor sincronizar"
        ) from error


def is_edited(exercise: Exercise) -> bool:
    """Si el estudiante ha cambiado algo respecto del esqueleto."""
    folder = exercise.lesson.root / "exercises"
    return any(
        (folder / path).exists() and (folder / path).read_text(encoding="utf-8", errors="replace") != text
        for path, text in skeletons(exercise).items()
    )


def fingerprints(exercises: list[Exercise]) -> dict[str, str]:
    """Huella de cada esqueleto: dice si la solución cambió sin regenerarlo, aunque el alumno lo haya editado."""
    return {
        path.as_posix(): hashlib.sha256(text.encode()).hexdigest()[:16]
        for exercise in exercises
        for path, text in skeletons(exercise).items()
    }


def stored_fingerprints(root: Path = ROOT) -> dict[str, str]:
    path = root / FINGERPRINTS
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def synchronize(exercises: list[Exercise], root: Path = ROOT) -> list[Exercise]:
    """Regenera los esqueletos; devuelve los que han cambiado. Es orden de autor: escribe sobre `exercises/`."""
    changed = [exercise for exercise in exercises if not exercise.student_file.exists() or is_edited(exercise)]
    for exercise in changed:
        for path, text in skeletons(exercise).items():
            (root / "exercises" / path).parent.mkdir(parents=True, exist_ok=True)
            (root / "exercises" / path).write_text(text, encoding="utf-8")
    for lesson in {exercise.lesson for exercise in exercises}:
        _copy_rest_of_package(lesson, root)
    current = {**stored_fingerprints(root), **fingerprints(exercises)}
    kept = {name: value for name, value in current.items() if (root / "solutions" / name).exists()}
    (root / FINGERPRINTS).write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return changed


def _copy_rest_of_package(lesson: Lesson, root: Path) -> None:
    """Lo que en un proyecto se da hecho, tal cual."""
    for path in given_files(lesson):
        target = root / "exercises" / path.relative_to(lesson.root / "solutions")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def given_files(lesson: Lesson) -> list[Path]:
    """Los archivos del paquete en los que el estudiante no tiene nada que escribir."""
    if lesson.package is None:
        return []
    folder = lesson.root / "solutions" / lesson.slug / lesson.package
    with_todos = {path for path, text in package_modules(lesson).items() if _stages(text, path)}
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path not in with_todos and "__pycache__" not in path.parts
    ]
