"""El cuaderno de notas: lo calificado hasta ahora, en la carpeta de los informes, una entrega por archivo.

De él se sigue una calificación interrumpida, y se toma lo que no ha cambiado desde la anterior. Mientras se califica,
las notas están ahí y no en la memoria, que así no crece con la clase.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from taller.grading.errors import GradingError
from taller.grading.grader import settled
from taller.grading.results import Grade
from taller.verdicts import ExerciseVerdict

FOLDER = ".calificado"
FORMAT = 1


@dataclass
class Page:
    """Una entrega calificada y la huella de cada uno de sus ejercicios."""

    grade: Grade
    digests: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return {"grade": self.grade.to_json(), "digests": self.digests}


@dataclass
class Notebook:
    """Las páginas escritas en `folder`. `seed` es la semilla de toda la clase; `finished`, si se llegó al final."""

    folder: Path
    seed: str
    finished: bool = False
    keys: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, reports: Path) -> Self | None:
        """El cuaderno de una calificación anterior; None si no la hubo.

        Raises:
            GradingError: está estropeado.
        """
        folder = reports / FOLDER
        try:
            data = json.loads((folder / "cuaderno.json").read_text(encoding="utf-8"))
            return cls(folder, data["seed"], data["finished"], data["keys"]) if data["format"] == FORMAT else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise GradingError(
                f"No entiendo lo que hay en {folder}. Empieza de nuevo con: rm -r {folder}, y repite la orden"
            ) from None

    @classmethod
    def start(cls, reports: Path, seed: str, *, forget: bool = False) -> Self:
        """Uno por empezar; las páginas que hubiera se siguen pudiendo aprovechar, salvo que haya que olvidarlas."""
        notebook = cls(reports / FOLDER, seed)
        if forget:
            shutil.rmtree(notebook.folder, ignore_errors=True)
        notebook.folder.mkdir(parents=True, exist_ok=True)
        return notebook

    def save(self) -> None:
        data = {"format": FORMAT, "seed": self.seed, "finished": self.finished, "keys": self.keys}
        _write(self.folder / "cuaderno.json", data)

    def write(self, page: Page) -> None:
        _write(self._path(page.grade.key), page.to_json())

    def read(self, key: str) -> Page | None:
        """La página de una entrega, si la hay y se entiende."""
        try:
            data = json.loads(self._path(key).read_text(encoding="utf-8"))
            return Page(Grade.from_json(data["grade"]), data["digests"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def known(self, key: str) -> dict[str, ExerciseVerdict]:
        """Los veredictos que ya se tienen de una entrega, por la huella de lo comprobado. Los dudosos no cuentan."""
        page = self.read(key)
        if page is None:
            return {}
        return {
            page.digests[verdict.id]: verdict
            for verdict in page.grade.exercises
            if verdict.id in page.digests and settled(verdict)
        }

    def grades(self) -> list[Grade]:
        """Las notas de toda la clase, en su orden.

        Raises:
            GradingError: falta alguna.
        """
        return [self._page(key).grade for key in self.keys]

    def _page(self, key: str) -> Page:
        page = self.read(key)
        if page is None:
            raise GradingError(f"Falta la nota de «{key}» en {self.folder}. Repite la orden con: --reanudar")
        return page

    def _path(self, key: str) -> Path:
        # El nombre de una entrega lo elige cualquiera; el de este archivo, no.
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _write(path: Path, data: dict[str, Any]) -> None:
    """Entero o nada: una interrupción no deja un archivo a medias."""
    draft = path.with_suffix(".nuevo")
    draft.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    draft.replace(path)
