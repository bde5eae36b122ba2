"""Rellena la planilla que ha exportado Moodle o el libro de calificaciones de Canvas.

Vuelven con sus columnas, su idioma, su codificación y su separador; solo cambian la nota y, en Moodle, el comentario.
La nota se lleva a la escala de la plataforma, y los decimales se escriben como ella los escribe.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from itertools import takewhile
from pathlib import Path

from taller.grading.reports.matching import Matches, match, plain_name
from taller.grading.reports.spreadsheet import Sheet, SheetError, text_cell
from taller.grading.results import ClassResults, Grade

# Los encabezados que se reconocen, sin acentos y con sus palabras en orden alfabético, como los deja `plain_name`.
MOODLE_GRADE = frozenset(map(plain_name, ("Grade", "Calificación", "Nota", "Qualificació", "Kalifikazioa", "Note")))
MOODLE_MOST = frozenset(
    map(plain_name, ("Maximum Grade", "Calificación máxima", "Nota máxima", "Qualificació màxima", "Note maximale"))
)
COMMENT = re.compile(r"feedback|comentari|retroaliment|comment", re.IGNORECASE)
CANVAS_ASSIGNMENT = re.compile(r"\(\d+\)\s*$")


@dataclass(frozen=True)
class Filled:
    """Una planilla rellena y lo que no casa: `rows_alone` son filas sin entrega; `grades_alone`, entregas sin fila."""

    platform: str
    path: Path
    filled: int
    rows_alone: list[str]
    grades_alone: list[tuple[str, str]]


@dataclass(frozen=True)
class Columns:
    """Dónde está cada cosa: `identity` y `names` son las columnas que dicen de quién es la fila."""

    identity: range
    names: list[int]
    grade: int
    first_row: int
    comment: int | None = None


def fill_moodle(results: ClassResults, path: Path, folder: Path) -> Filled:
    """La planilla de calificación de una tarea de Moodle.

    Raises:
        SheetError: no se puede leer, o no se sabe cuál es la columna de la nota.
    """
    sheet = Sheet.read(path, "--moodle PLANILLA")
    columns, most = _moodle_columns(sheet, path)
    return _fill("Moodle", sheet, columns, results, folder / "moodle.csv", lambda row: "".join(row[most : most + 1]))


def fill_canvas(results: ClassResults, path: Path, folder: Path) -> Filled:
    """El libro de calificaciones de Canvas, con su fila de puntos posibles.

    Raises:
        SheetError: no se puede leer, o no se sabe cuál de sus tareas es esta.
    """
    sheet = Sheet.read(path, "--canvas LIBRO")
    columns = _canvas_columns(sheet, results.course, path)
    possible = sheet.rows[columns.first_row - 1]
    return _fill("Canvas", sheet, columns, results, folder / "canvas.csv", lambda row: possible[columns.grade])


def check_sheets(course: str, moodle: Path | None, canvas: Path | None) -> None:
    """Para no descubrir después de calificar la clase que la planilla no sirve.

    Raises:
        SheetError: no se puede leer, o no se sabe qué columna rellenar.
    """
    if moodle:
        _moodle_columns(Sheet.read(moodle, "--moodle PLANILLA"), moodle)
    if canvas:
        _canvas_columns(Sheet.read(canvas, "--canvas LIBRO"), course, canvas)


def _moodle_columns(sheet: Sheet, path: Path) -> tuple[Columns, int]:
    headers = [plain_name(header) for header in sheet.rows[0]]
    named = [index for index, header in enumerate(headers) if header in MOODLE_MOST]
    most = named or [index for index in range(2, len(headers)) if _looks_like_most(sheet, index)]
    grade = [index for index, header in enumerate(headers) if header in MOODLE_GRADE] or [most[0] - 1] if most else []
    if len(most) != 1 or len(grade) != 1:
        problem = "no se ve cuál es la columna de la calificación y cuál la de su máximo"
        raise SheetError(
            f"En «{path.name}» {problem}: descarga la «hoja de calificaciones» de la tarea.", "--moodle PLANILLA"
        )
    comments = [index for index, header in enumerate(sheet.rows[0]) if COMMENT.search(header)]
    identity = range(min(grade[0], most[0]))
    return Columns(identity, list(identity), grade[0], 1, comments[-1] if comments else None), most[0]


def _looks_like_most(sheet: Sheet, index: int) -> bool:
    """En un idioma que no conocemos: siempre el mismo número, y a su izquierda una columna sin nada más que notas."""
    rows = [row for row in sheet.rows[1:] if len(row) > index]
    values = {row[index] for row in rows}
    before = [row[index - 1].strip() for row in rows]
    return len(values) == 1 and (_number(min(values)) or 0) > 0 and all(_is_mark(cell) for cell in before)


def _is_mark(cell: str) -> bool:
    return cell in ("", "-") or _number(cell) is not None


def _canvas_columns(sheet: Sheet, course: str, path: Path) -> Columns:
    headers = sheet.rows[0]
    # Delante de los estudiantes hay una o dos filas sin identificador; la última es la de los puntos posibles.
    first_row = 1 + len(list(takewhile(lambda row: len(row) < 2 or not row[1].strip(), sheet.rows[1:])))
    possible = sheet.rows[first_row - 1] if first_row > 1 else []
    tasks = [
        index
        for index, header in enumerate(headers)
        if index >= 2 and CANVAS_ASSIGNMENT.search(header) and index < len(possible) and _number(possible[index])
    ]
    ours = [index for index in tasks if plain_name(course) in plain_name(headers[index])]
    ours = ours if len(ours) == 1 else [index for index in tasks if _empty(sheet, index, first_row)]
    chosen = tasks if len(tasks) == 1 else ours
    if len(chosen) != 1:
        problem = (
            "no se ve cuál es la tarea: deja sus columnas de identidad, la fila de puntos posibles y solo esa tarea"
        )
        raise SheetError(f"En «{path.name}» {problem}.", "--canvas LIBRO")
    return Columns(range(tasks[0]), [0], chosen[0], first_row)


def _empty(sheet: Sheet, index: int, first_row: int) -> bool:
    return not any(row[index].strip() for row in sheet.rows[first_row:] if len(row) > index)


def _fill(
    platform: str, sheet: Sheet, columns: Columns, results: ClassResults, path: Path, most: Callable[[list[str]], str]
) -> Filled:
    complete = {number: row for number, row in enumerate(sheet.rows) if number >= columns.first_row and any(row)}
    identities = {number: [row[i] for i in columns.identity if i < len(row)] for number, row in complete.items()}
    matches = match(identities, results.grades)
    rows = list(sheet.rows)
    for number, row in complete.items():
        grade = matches.pairs.get(number)
        rows[number] = _filled_row(row, columns, grade, _full_marks(results), most(row))
    replace(sheet, rows=rows).write(path)
    return Filled(platform, path, _count(matches), *_alone(matches, identities))


def _filled_row(row: list[str], columns: Columns, grade: Grade | None, full_marks: int, most: str) -> list[str]:
    filled = [text_cell(cell) if index in columns.names else cell for index, cell in enumerate(row)]
    if grade and not grade.problem and full_marks:
        filled += [""] * (columns.grade + 1 - len(filled))
        mark = grade.points / full_marks * (_number(most) or full_marks)
        filled[columns.grade] = f"{mark:.2f}".replace(".", "," if "," in most else ".")
        if columns.comment is not None and columns.comment < len(filled):
            filled[columns.comment] = _comment(grade)
    return filled


def _comment(grade: Grade) -> str:
    """Moodle lo toma por HTML. No lleva nada que haya escrito el estudiante."""
    parts = (f"{exercise.id}: {exercise.points} de {exercise.max_points}" for exercise in grade.exercises)
    late = " Con descuento por retraso." if any(one.penalty for one in grade.late) else ""
    return text_cell(escape(f"{grade.points:g} de {grade.max_points} puntos ({'; '.join(parts)}).{late}"))


def _full_marks(results: ClassResults) -> int:
    """Lo que vale todo: a una entrega a la que le falta un ejercicio no se le perdonan sus puntos."""
    return max((grade.max_points for grade in results.grades), default=0)


def _count(matches: Matches) -> int:
    return sum(1 for grade in matches.pairs.values() if not grade.problem)


def _alone(matches: Matches, identities: dict[int, list[str]]) -> tuple[list[str], list[tuple[str, str]]]:
    rows = [" · ".join(filter(None, map(str.strip, identities[number]))) for number in matches.rows_alone]
    grades = [(grade.key, reason) for grade, reason in matches.grades_alone]
    ungraded = [grade for grade in matches.pairs.values() if grade.problem]
    return rows, [*grades, *((grade.key, f"no se ha calificado: {grade.problem}") for grade in ungraded)]


def _number(cell: str) -> float | None:
    plain = cell.strip().replace(",", ".")
    return float(plain) if re.fullmatch(r"\d+(\.\d+)?", plain) else None


def write_unmatched(filled: Filled) -> list[Path]:
    """`moodle_sin_pareja.csv`, si hay algo que revisar a mano."""
    rows = [["Qué", "Cuál", "Por qué"]]
    rows += [["Entrega", text_cell(key), text_cell(reason)] for key, reason in filled.grades_alone]
    rows += [["Fila", text_cell(row), "no tiene entrega"] for row in filled.rows_alone]
    path = filled.path.with_name(f"{filled.path.stem}_sin_pareja.csv")
    return [Sheet(rows).write(path)] if len(rows) > 1 else []
