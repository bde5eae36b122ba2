"""Lecciones y ejercicios, descubiertos en las carpetas: nada se da de alta en dos sitios.

La clave que lo une todo es el nombre de la carpeta de la lección (`02_websockets`); un ejercicio es un
archivo `eN_nombre.py` de `solutions/<lección>/` y su identificador es `lección.número` (`2.1`). En un proyecto, junto a
ellos hay un paquete, y cada ejercicio es una etapa que lo hace crecer.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from taller.errors import TallerError

ROOT = Path(__file__).resolve().parent.parent

SOURCES = {"ejercicios": "exercises", "soluciones": "solutions"}


class CatalogError(TallerError):
    """Se ha nombrado algo que el curso no tiene; el mensaje termina con la orden que lo arregla."""


@dataclass(frozen=True)
class Exercise:
    """Un ejercicio: un archivo del estudiante y los controles que lo comprueban."""

    lesson: "Lesson"
    number: int
    name: str

    @property
    def id(self) -> str:
        return f"{self.lesson.number}.{self.number}"

    @property
    def relative(self) -> Path:
        """Ruta del archivo dentro de `exercises/`, `solutions/` o una entrega."""
        return Path(self.lesson.slug) / f"{self.name}.py"

    @property
    def student_file(self) -> Path:
        return self.lesson.root / "exercises" / self.relative

    @property
    def solution_file(self) -> Path:
        return self.lesson.root / "solutions" / self.relative

    @property
    def check_file(self) -> Path:
        return self.lesson.root / "checks" / self.lesson.slug / f"test_{self.name}.py"

    @property
    def variants_file(self) -> Path:
        return self.lesson.root / "checks" / self.lesson.slug / f"variants_{self.name}.toml"

    @cached_property
    def statement(self) -> str:
        """El enunciado: la docstring del archivo."""
        return ast.get_docstring(ast.parse(self.solution_file.read_text(encoding="utf-8"))) or ""

    @cached_property
    def title(self) -> str:
        """La primera línea del enunciado sin su número: `2.1 Eco con protocolo` → `Eco con protocolo`."""
        return re.sub(rf"^{re.escape(self.id)}\W+", "", self.statement.partition("\n")[0]).rstrip(".")


@dataclass(frozen=True)
class Lesson:
    """Una lección del curso, escrita o por escribir."""

    slug: str
    root: Path = ROOT

    @property
    def number(self) -> int:
        return int(self.slug[:2])

    @property
    def folder(self) -> Path:
        return self.root / "lessons" / self.slug

    @property
    def readme(self) -> Path:
        return self.folder / "README.md"

    @property
    def notebook(self) -> Path:
        return self.root / "notebooks" / f"{self.slug}.ipynb"

    @property
    def written(self) -> bool:
        """Una lección está escrita cuando tiene algo que ejecutar."""
        return (self.folder / "app.py").exists()

    @cached_property
    def title(self) -> str:
        """El primer encabezado de su README, sin el número de lección; sin README, el nombre de la carpeta."""
        text = self.readme.read_text(encoding="utf-8") if self.readme.exists() else ""
        for line in text.splitlines():
            if line.startswith("# "):
                return re.sub(r"^#\s+(Lección\s+)?\d*\s*[·:.]?\s*", "", line)
        return self.slug[3:].replace("_", " ").capitalize()

    @cached_property
    def package(self) -> str | None:
        """En un proyecto, el nombre del paquete que hacen crecer sus etapas."""
        found = sorted((self.root / "solutions" / self.slug).glob("*/__init__.py"))
        return found[0].parent.name if found else None

    @cached_property
    def exercises(self) -> tuple[Exercise, ...]:
        return tuple(sorted(self._discover(), key=lambda exercise: exercise.number))

    def _discover(self) -> Iterator[Exercise]:
        for path in (self.root / "solutions" / self.slug).glob("e*_*.py"):
            if match := re.fullmatch(r"e(\d+)_\w+", path.stem):
                yield Exercise(self, int(match[1]), path.stem)


def lessons(root: Path = ROOT) -> list[Lesson]:
    """Las lecciones en orden: las carpetas `NN_nombre` de `lessons/`."""
    folders = (root / "lessons").glob("[0-9][0-9]_*")
    return [Lesson(folder.name, root) for folder in sorted(folders) if folder.is_dir()]


def exercises(root: Path = ROOT) -> list[Exercise]:
    return [exercise for lesson in lessons(root) for exercise in lesson.exercises]


def find_lesson(key: str, root: Path = ROOT) -> Lesson:
    """Busca una lección por `2`, `02` o `02_websockets`."""
    for lesson in lessons(root):
        if key == lesson.slug or (key.isdecimal() and int(key) == lesson.number):
            return lesson
    raise CatalogError(f"No hay ninguna lección «{key}». Mira las que hay con: python3 curso.py lista")


def find_exercise(key: str, root: Path = ROOT) -> Exercise:
    """Busca un ejercicio por su identificador, `2.1`."""
    for exercise in exercises(root):
        if key == exercise.id:
            return exercise
    raise CatalogError(f"No hay ningún ejercicio «{key}». Mira los que hay con: python3 curso.py lista")


def select(key: str | None, root: Path = ROOT) -> list[Exercise]:
    """Los ejercicios que nombra `key`: `2.1` uno, `02` los de una lección, `None` todos."""
    if key is None:
        return exercises(root)
    if "." in key:
        return [find_exercise(key, root)]
    lesson = find_lesson(key, root)
    if not lesson.exercises:
        raise CatalogError(f"La lección {key} aún no tiene ejercicios. Mira cuáles sí: python3 curso.py lista")
    return list(lesson.exercises)


def source_folder(source: str, root: Path = ROOT) -> Path:
    """La carpeta que nombra `--de`: `ejercicios`, `soluciones` o una ruta con la forma de `exercises/`."""
    folder = root / SOURCES[source] if source in SOURCES else Path(source).expanduser().absolute()
    if not folder.is_dir():
        raise CatalogError(
            f"No existe la carpeta «{source}». Usa ejercicios, soluciones o una ruta: "
            "python3 curso.py comprobar --de ejercicios"
        )
    return folder
