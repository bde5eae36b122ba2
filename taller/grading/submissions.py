"""Las entregas de una clase: dónde están, de quién son y qué archivos suyos se califican."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from taller.catalog import Exercise
from taller.grading.errors import GradingError
from taller.grading.trees import FileError, FolderTree, Tree, TreeError, ZipTree

MOST_TOTAL = 8 * 1024 * 1024
# Como nombra Moodle lo que descarga: «Ana Pérez_1234_assignsubmission_file».
MOODLE = re.compile(r"^(?P<name>.+?)_\d+_assignsubmission_\w+?_?$")
OTHER_ARCHIVES = (".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst")
# En una copia entera del curso, los ejercicios no son lo único con carpetas de lecciones.
NOT_EXERCISES = frozenset({"solutions", "lessons", "checks", "notebooks"})


@dataclass(frozen=True)
class Submission:
    """Una entrega por leer; `problem` dice por qué no se puede, si ya se sabe."""

    key: str
    student: str
    path: Path
    problem: str = ""


@dataclass
class Contents:
    """Lo que se califica de una entrega: sus archivos, por su ruta dentro de `exercises/`.

    `refused` son los que no se han aceptado, con la razón; `modified_at`, cuándo cambió el último.
    """

    files: dict[PurePosixPath, bytes] = field(default_factory=dict)
    refused: dict[PurePosixPath, str] = field(default_factory=dict)
    modified_at: datetime | None = None

    def text(self, path: PurePosixPath) -> str:
        return self.files[path].decode("utf-8", "replace")


def discover(folder: Path) -> list[Submission]:
    """Las entregas que hay en `folder`, por orden de nombre: cada subcarpeta y cada archivo comprimido es una.

    Raises:
        GradingError: no hay ninguna.
    """
    if not folder.is_dir():
        raise GradingError(f"No existe la carpeta {folder}. Mira dónde están las entregas con: ls")
    found = [_submission(path) for path in sorted(folder.iterdir()) if _is_submission(path)]
    if not found:
        raise GradingError(
            f"En {folder} no hay entregas: pon una carpeta o un zip por estudiante. Mira qué hay con: ls {folder}"
        )
    return found


def _is_submission(path: Path) -> bool:
    archive = path.suffix.lower() in (".zip", *OTHER_ARCHIVES)
    return not path.name.startswith(".") and (archive or path.is_symlink() or path.is_dir())


def _submission(path: Path) -> Submission:
    key = path.name.encode("utf-8", "backslashreplace").decode()
    key = key[:-4] if path.suffix.lower() == ".zip" else key
    moodle = MOODLE.match(key)
    problem = ""
    if path.is_symlink():
        problem = "La entrega es un enlace simbólico, y no se sigue: pon la carpeta o el zip."
    elif path.suffix.lower() in OTHER_ARCHIVES and not path.is_dir():
        problem = f"Los archivos {path.suffix} no se abren: pon la carpeta o un zip."
    return Submission(key, moodle["name"] if moodle else key, path, problem)


def read(submission: Submission, exercises: Sequence[Exercise]) -> Contents:
    """Los archivos de la entrega que son de las lecciones de esos ejercicios.

    Raises:
        TreeError: no se puede leer.
    """
    with open_tree(submission.path) as tree:
        paths = tree.paths()
        base = exercises_folder(paths, exercises)
        contents = Contents()
        total = 0
        for path in wanted(paths, base, exercises):
            inside = path.relative_to(base)
            try:
                contents.files[inside] = tree.read(path)
            except FileError as error:
                contents.refused[inside] = f"{path.name} {error}."
                continue
            total += len(contents.files[inside])
            if total > MOST_TOTAL:
                raise TreeError(f"Sus ejercicios pesan más de {MOST_TOTAL // 1024**2} MiB.")
            modified_at = tree.modified_at(path)
            contents.modified_at = max(contents.modified_at or modified_at, modified_at)
        return contents


@contextlib.contextmanager
def open_tree(path: Path) -> Iterator[Tree]:
    """El árbol de una carpeta o de un zip, o el del único zip de una carpeta, como los deja Moodle.

    Raises:
        TreeError: no se puede abrir.
    """
    if path.is_dir():
        inside = [each for each in path.iterdir() if not each.name.startswith(".")]
        alone = len(inside) == 1 and inside[0].suffix.lower() == ".zip" and not inside[0].is_symlink()
        if not alone or not inside[0].is_file():
            yield FolderTree(path)
            return
        path = inside[0]
    try:
        stream = path.open("rb")
    except OSError as error:
        raise TreeError(f"No se puede abrir ({error.strerror}).") from None
    with stream:
        yield ZipTree(stream)


def exercises_folder(paths: Sequence[PurePosixPath], exercises: Sequence[Exercise]) -> PurePosixPath:
    """La carpeta que hace de `exercises/`: la que se llama así o, si no, la menos honda con archivos de lecciones.

    Raises:
        TreeError: no hay ninguna.
    """
    slugs = {exercise.lesson.slug for exercise in exercises}
    found: Counter[PurePosixPath] = Counter()
    for path in paths:
        for index, part in enumerate(path.parts[:-1]):
            base = PurePosixPath(*path.parts[:index])
            if part in slugs and base.name not in NOT_EXERCISES:
                found[base] += 1
    if not found:
        raise TreeError(f"No tiene ninguna carpeta de ejercicios, como {min(slugs)}.")
    return max(found, key=lambda base: (base.name == "exercises", -len(base.parts), found[base]))


def wanted(
    paths: Sequence[PurePosixPath], base: PurePosixPath, exercises: Sequence[Exercise]
) -> Iterator[PurePosixPath]:
    """Los archivos de esas lecciones, sin lo que generan los programas ni nombres que no sean texto."""
    slugs = {exercise.lesson.slug for exercise in exercises}
    for path in sorted(paths):
        if path.is_relative_to(base) and path.relative_to(base).parts[0] in slugs and _plain(path):
            yield path


def _plain(path: PurePosixPath) -> bool:
    named = str(path).isprintable() and not any(part.startswith(".") for part in path.parts)
    return named and path.suffix != ".pyc"
