"""Empezar un ejercicio de nuevo, y arrepentirse: lo que había se guarda siempre en `.taller/copias/`."""

import shutil
import time
from pathlib import Path

from taller.catalog import ROOT, Exercise
from taller.errors import TallerError
from taller.skeleton import skeletons


class NothingToUndo(TallerError):
    """No hay ninguna copia de ese ejercicio."""


def reset(exercise: Exercise) -> Path | None:
    """Devuelve los archivos de un ejercicio a su esqueleto; da la carpeta en la que queda lo que tenían."""
    kept = keep(exercise)
    for relative, text in skeletons(exercise).items():
        path = exercise.lesson.root / "exercises" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return kept


def restore(exercise: Exercise) -> None:
    """Devuelve los archivos que falten, con su esqueleto; los que están no se tocan."""
    for relative, text in skeletons(exercise).items():
        path = exercise.lesson.root / "exercises" / relative
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def undo(exercise: Exercise) -> Path | None:
    """Recupera la última copia; lo escrito desde entonces queda en otra, así que se puede deshacer lo deshecho.

    Raises:
        NothingToUndo: nunca se ha empezado de nuevo.
    """
    folder = latest(exercise)
    if folder is None:
        raise NothingToUndo(f"No hay ninguna copia de {exercise.id}. Mira tu archivo con: python3 curso.py lista")
    kept = keep(exercise)
    shutil.copytree(folder, exercise.lesson.root / "exercises", dirs_exist_ok=True)
    return kept


def keep(exercise: Exercise) -> Path | None:
    """Guarda una copia de lo que el estudiante ha cambiado; None si no ha cambiado nada."""
    exercises = exercise.lesson.root / "exercises"
    edited = [relative for relative, text in skeletons(exercise).items() if _differs(exercises / relative, text)]
    if not edited:
        return None
    folder = _new_folder(exercise)
    for relative in edited:
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(exercises / relative, folder / relative)
    return folder


def latest(exercise: Exercise) -> Path | None:
    return max(_copies(exercise.lesson.root).glob(f"{exercise.id}-*"), default=None)


def _differs(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8", errors="replace") != text


def _new_folder(exercise: Exercise) -> Path:
    # Por orden de nombre, la última es la más reciente; dos en el mismo segundo también.
    moment = time.strftime("%Y%m%d-%H%M%S")
    same_moment = len(list(_copies(exercise.lesson.root).glob(f"{exercise.id}-{moment}*")))
    return _copies(exercise.lesson.root) / f"{exercise.id}-{moment}{f'-{same_moment + 1}' if same_moment else ''}"


def _copies(root: Path = ROOT) -> Path:
    return root / ".taller" / "copias"
