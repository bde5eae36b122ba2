"""Los informes de una clase calificada: páginas para personas, y archivos para plataformas y programas.

write_reports(results, Path("informe"), moodle=Path("planilla.csv"))
"""

from collections.abc import Iterator
from pathlib import Path

from taller.catalog import ROOT, lessons
from taller.grading.reports.changes import changes
from taller.grading.reports.class_page import write_class_page
from taller.grading.reports.names import student_page
from taller.grading.reports.outputs import write_gradescope, write_json, write_junit, write_marks
from taller.grading.reports.pages import write_page
from taller.grading.reports.platforms import Filled, check_sheets, fill_canvas, fill_moodle, write_unmatched
from taller.grading.reports.similarity import similar_pairs
from taller.grading.reports.spreadsheet import SheetError
from taller.grading.results import ClassResults
from taller.skeleton import given_files, skeletons

__all__ = ["SheetError", "check_sheets", "write_reports"]


def write_reports(
    results: ClassResults,
    folder: Path,
    *,
    moodle: Path | None = None,
    canvas: Path | None = None,
    gradescope: bool = False,
    junit: bool = False,
    previous: ClassResults | None = None,
) -> list[Path]:
    """Escribe los informes en `folder` y devuelve los archivos; el primero es la página de la clase.

    `moodle` y `canvas` son los CSV que exportó la plataforma: se rellena una copia. `previous` son los resultados de
    otra vez: se dice qué ha cambiado.

    Raises:
        SheetError: una planilla no se puede leer o rellenar; lo demás ya está escrito.
    """
    (folder / "estudiantes").mkdir(parents=True, exist_ok=True)
    written = [
        write_marks(results, folder / "notas.csv"),
        write_json(results, folder / "resultados.json"),
        *([write_junit(results, folder / "junit.xml")] if junit else ()),
        *(write_gradescope(results, folder) if gradescope else ()),
        *_student_pages(results, folder),
    ]
    pairs = similar_pairs(results.grades, _given_code(results))
    written.append(write_page(folder / "parecidos.html", "pairs.html", results=results, pairs=pairs))
    changed = changes(previous, results) if previous else None
    index = write_class_page(folder / "index.html", results, pairs, [], changed)
    sheets = list(_filled_sheets(results, folder, moodle, canvas))
    if sheets:
        write_class_page(index, results, pairs, sheets, changed)
        written += [path for sheet in sheets for path in (sheet.path, *write_unmatched(sheet))]
    return [index, *written]


def _student_pages(results: ClassResults, folder: Path) -> Iterator[Path]:
    for grade in results.grades:
        yield write_page(
            folder / student_page(grade),
            "student.html",
            grade=grade,
            course=results.course,
            graded_at=results.graded_at,
        )


def _given_code(results: ClassResults) -> Iterator[str]:
    """Lo que el curso da hecho en las lecciones calificadas: que dos entregas lo compartan no dice nada."""
    graded = {verdict.id for grade in results.grades for verdict in grade.exercises}
    for lesson in lessons(ROOT):
        if not graded.intersection(exercise.id for exercise in lesson.exercises):
            continue
        yield from (path.read_text(encoding="utf-8") for path in given_files(lesson) if path.suffix == ".py")
        for exercise in lesson.exercises:
            yield from skeletons(exercise).values()


def _filled_sheets(results: ClassResults, folder: Path, moodle: Path | None, canvas: Path | None) -> Iterator[Filled]:
    if moodle:
        yield fill_moodle(results, moodle, folder)
    if canvas:
        yield fill_canvas(results, canvas, folder)
