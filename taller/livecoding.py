"""Programar en directo: los pasos de una lección, lo que cambia entre ellos y una copia de trabajo que se recarga.

Los pasos son `lessons/<lección>/pasos/paso_N.py`. Quien enseña edita una copia en `.taller/vivo/`, así que
los originales no cambian y se puede volver a cualquier paso.
"""

import ast
import difflib
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from taller.catalog import CatalogError, Lesson

NOTES = ("Di", "Enseña", "Minutos", "Arranca")


@dataclass(frozen=True)
class Step:
    """Un paso que se puede ejecutar; su docstring es lo que se cuenta al llegar a él."""

    lesson: Lesson
    number: int
    path: Path

    @property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def speech(self) -> str:
        return ast.get_docstring(ast.parse(self.source)) or ""

    @property
    def title(self) -> str:
        """La primera línea de su docstring, sin «Paso N:»."""
        text = re.sub(r"^Paso \d+[:.]\s*", "", self.speech.partition("\n")[0])
        return text[:1].upper() + text[1:].rstrip(".")

    @property
    def code(self) -> list[str]:
        """Sus líneas sin la docstring."""
        tree = ast.parse(self.source)
        spoken = (tree.body[0].end_lineno or 0) if ast.get_docstring(tree) is not None else 0
        return self.source.splitlines()[spoken:]

    @property
    def notes(self) -> dict[str, str]:
        """Lo que hay que decir, enseñar y arrancar: etiqueta → texto de corrido."""
        found = re.split(rf"^({'|'.join(NOTES)}):\s*", self.speech, flags=re.MULTILINE)[1:]
        return {label: " ".join(text.split()) for label, text in zip(found[::2], found[1::2], strict=True)}

    @property
    def minutes(self) -> int:
        """Lo que se le ha previsto; 0 si no se ha dicho."""
        return int(self.notes.get("Minutos", "0"))

    def changes_since(self, previous: "Step | None") -> str:
        """Lo que cambia del código respecto del paso anterior, en formato unificado; para el primero, todo."""
        lines = difflib.unified_diff(previous.code if previous else [], self.code, lineterm="", n=2)
        return "\n".join(list(lines)[2:])


def steps(lesson: Lesson) -> list[Step]:
    """
    Raises:
        CatalogError: la lección aún no tiene pasos.
    """
    found = {
        int(match[1]): path
        for path in (lesson.folder / "pasos").glob("paso_*.py")
        if (match := re.fullmatch(r"paso_(\d+)", path.stem))
    }
    if not found:
        raise CatalogError(
            f"La lección {lesson.slug[:2]} aún no tiene pasos para programar en directo. "
            "Mira las lecciones con: python3 curso.py lista"
        )
    return [Step(lesson, number, found[number]) for number in sorted(found)]


def find_step(lesson: Lesson, number: int) -> Step:
    known = steps(lesson)
    for step in known:
        if step.number == number:
            return step
    raise CatalogError(
        f"La lección {lesson.slug[:2]} no tiene el paso {number}: va del 1 al {known[-1].number}. "
        f"Empieza con: python3 curso.py vivo {lesson.slug[:2]} --paso 1"
    )


def working_copy(step: Step) -> Path:
    """La carpeta donde se programa; si aún no existe, empieza en `step`."""
    folder = live_folder(step.lesson)
    if not (folder / "vivo.py").exists():
        go_to(step, folder)
    return folder


def live_folder(lesson: Lesson) -> Path:
    return lesson.root / ".taller" / "vivo" / lesson.slug


def go_to(step: Step, folder: Path) -> Path | None:
    """Pone `step` en la copia de trabajo; lo que hubiera y no sea de ningún paso se guarda, y devuelve dónde."""
    target, backup = folder / "vivo.py", None
    if target.exists() and target.read_text(encoding="utf-8") not in [known.source for known in steps(step.lesson)]:
        backup = folder / f"vivo-{time.strftime('%H%M%S')}.py"
        shutil.copy2(target, backup)
    folder.mkdir(parents=True, exist_ok=True)
    for neighbour in step.path.parent.iterdir():
        if neighbour.is_file() and not neighbour.name.startswith("paso_"):
            shutil.copy2(neighbour, folder / neighbour.name)
    target.write_text(step.source, encoding="utf-8")
    return backup
