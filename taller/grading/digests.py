"""Huellas: con la misma entrega, los mismos controles y la misma semilla sale el mismo veredicto."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath

from taller.catalog import ROOT, Exercise
from taller.grading.submissions import Contents

# Las partes de la herramienta que deciden un veredicto.
DECISIVE = ("checking", "grading", "runner", "services", "wire")
# Y los módulos sueltos que también.
ALONE = ("checker.py", "misconceptions.py", "patience.py", "verdicts.py")


def exercise_digest(exercise: Exercise, contents: Contents, seed: str) -> str:
    """La de un ejercicio: los archivos de su lección, sus controles y la semilla."""
    slug = exercise.lesson.slug
    files = sorted((path, data) for path, data in contents.files.items() if path.parts[0] == slug)
    return _digest([exercise.id, seed, _checks_digest(exercise.check_file.parent), *_lines(files)])


def submission_digest(digests: Iterable[str]) -> str:
    """La de una entrega entera, a partir de las de sus ejercicios."""
    return _digest(digests)


@lru_cache(maxsize=64)
def _checks_digest(folder: Path) -> str:
    taller = ROOT / "taller"
    tool = [*(path for part in DECISIVE for path in (taller / part).glob("*.py")), *(taller / name for name in ALONE)]
    paths = sorted([*tool, *folder.glob("*.py"), *folder.glob("*.json")])
    return _digest(_lines([(PurePosixPath(path.relative_to(ROOT)), path.read_bytes()) for path in paths]))


def _lines(files: Iterable[tuple[PurePosixPath, bytes]]) -> list[str]:
    return [f"{path} {hashlib.sha256(data).hexdigest()}" for path, data in files]


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
