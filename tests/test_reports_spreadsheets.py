"""Las planillas vuelven a la plataforma como vinieron, con cada nota en su fila y ninguna fórmula ajena."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from reports_class import FORMULAS, HOSTILE, class_of, grade, hostile, whole_class

from taller.grading.reports import SheetError, check_sheets, write_reports
from taller.grading.reports.platforms import fill_canvas, fill_moodle, write_unmatched
from taller.grading.reports.spreadsheet import text_cell
from taller.grading.results import ClassResults

MOODLE_ES = """\
Identificador,"Nombre completo","Dirección de correo",Estado,Calificación,"Calificación máxima","La calificación puede \
ser cambiada","Última modificación (entrega)","Comentarios de retroalimentación"
"Participante 1000","Ana López",ana@uni.es,"Enviado para calificar",,"10,00",Sí,"viernes, 20 de noviembre",
"Participante 1001","Bruno Díaz",bruno@uni.es,"Enviado para calificar","3,00","10,00",Sí,-,Antes
"Participante 1002","Nuria Solé",nuria@uni.es,"No entregado",,"10,00",Sí,-,
"""
CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,Repaso (11),Taller (12),Final Score
    Points Possible,,,,,5,100,(read only)
"López, Ana",71,u1,alopez,Grupo 1,4,,80
"Díaz, Bruno",72,u2,bdiaz,Grupo 1,,,
"Student, Test",99,,test,Grupo 1,,,
"""


def moodle_class() -> ClassResults:
    return class_of(
        grade("Ana López_1000_assignsubmission_file", "Ana López", ["passed", "passed", "passed"]),
        grade("bruno@uni.es.zip", "El de Bruno", ["passed", "failed", "skipped"]),
        grade("desconocida", "Nadie", ["failed", "failed", "failed"]),
    )


def rows_of(path: Path, encoding: str = "utf-8", delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode(encoding), newline=""), delimiter=delimiter))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_moodle_worksheet_comes_back_as_it_came(tmp_path: Path, encoding: str, delimiter: str) -> None:
    sheet = tmp_path / "planilla.csv"
    original = list(csv.reader(io.StringIO(MOODLE_ES)))
    with sheet.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(original)

    filled = fill_moodle(moodle_class(), sheet, tmp_path)

    rows = rows_of(filled.path, encoding, delimiter)
    assert rows[0] == original[0]
    assert [row[4] for row in rows[1:]] == ["10,00", "1,67", ""]
    assert rows[1][8].startswith("24 de 24 puntos (2.1: 6 de 6; ")
    assert rows[3] == original[3]
    untouched = [(row[:4], row[5:8]) for row in rows[1:]]
    assert untouched == [(row[:4], row[5:8]) for row in original[1:]]
    assert sheet.read_bytes().startswith(b"\xef\xbb\xbf") == filled.path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert filled.rows_alone == ["Participante 1002 · Nuria Solé · nuria@uni.es · No entregado"]
    assert filled.grades_alone == [("desconocida", "no está en la planilla")]


def test_what_does_not_match_is_written_apart(tmp_path: Path) -> None:
    sheet = tmp_path / "planilla.csv"
    sheet.write_text(MOODLE_ES, encoding="utf-8")
    [path] = write_unmatched(fill_moodle(moodle_class(), sheet, tmp_path))
    assert path.name == "moodle_sin_pareja.csv"
    assert [row[:2] for row in rows_of(path, "utf-8-sig")[1:]] == [
        ["Entrega", "desconocida"],
        ["Fila", "Participante 1002 · Nuria Solé · nuria@uni.es · No entregado"],
    ]


def test_a_worksheet_in_a_language_nobody_foresaw(tmp_path: Path) -> None:
    sheet = tmp_path / "planilla.csv"
    sheet.write_text(
        "Azonosító,Teljes név,E-mail,Állapot,Osztályzat,Legjobb\nRésztvevő 1000,López Ana,ana@uni.es,Kész,,50.00\n",
        encoding="utf-8",
    )
    filled = fill_moodle(moodle_class(), sheet, tmp_path)
    assert rows_of(filled.path)[1][4] == "50.00"


@pytest.mark.parametrize("postings", ["", ",,,,,Manual Posting,,\n"])
def test_canvas_keeps_its_points_row_and_scales_the_mark(tmp_path: Path, postings: str) -> None:
    book = tmp_path / "libro.csv"
    header, body = CANVAS.split("\n", 1)
    text = f"{header}\n{postings}{body}"
    book.write_text(text, encoding="utf-8-sig")
    results = class_of(
        grade("lopezana_LATE_71_9001_entrega.zip", "lopezana", ["passed", "passed", "passed"]),
        grade("bdiaz", "bdiaz", ["failed", "passed", "failed"]),
    )
    filled = fill_canvas(results, book, tmp_path)

    original, rows = list(csv.reader(io.StringIO(text))), rows_of(filled.path, "utf-8-sig")
    assert rows[:-3] == original[:-3]
    assert [row[6] for row in rows[-3:]] == ["100.00", "33.33", ""]
    assert [row[:6] + row[7:] for row in rows] == [row[:6] + row[7:] for row in original]


def test_canvas_needs_to_know_which_task(tmp_path: Path) -> None:
    book = tmp_path / "libro.csv"
    book.write_text(CANVAS.replace("4,,80", ",,80"), encoding="utf-8")
    with pytest.raises(SheetError, match=r"no se ve cuál es la tarea.*--canvas LIBRO$"):
        fill_canvas(moodle_class(), book, tmp_path)
    with pytest.raises(SheetError, match="no se ve cuál es la tarea"):
        check_sheets("Otro curso", None, book)
    check_sheets("Taller", None, book)


def test_nobody_gets_the_mark_of_another(tmp_path: Path) -> None:
    """Dos personas que se llaman igual, y dos entregas para una misma fila: se dejan sin nota y se avisa."""
    sheet = tmp_path / "planilla.csv"
    sheet.write_text(
        MOODLE_ES
        + 'Participante 1004,"López, Ana",ana2@uni.es,-,,"10,00",Sí,-,\n'.replace('"López, Ana"', "Ana López"),
        encoding="utf-8",
    )
    results = class_of(
        grade("Ana López", "Ana López"), grade("bruno@uni.es", "Bruno"), grade("Bruno Díaz_1001_x", "Bruno Díaz")
    )
    filled = fill_moodle(results, sheet, tmp_path)
    assert [row[4] for row in rows_of(filled.path)[1:]] == ["", "3,00", "", ""]
    assert dict(filled.grades_alone) == {
        "Ana López": "le corresponden 2 filas",
        "bruno@uni.es": "hay 2 entregas para su fila",
        "Bruno Díaz_1001_x": "hay 2 entregas para su fila",
    }


def test_what_could_not_be_graded_leaves_its_cell_as_it_was(tmp_path: Path) -> None:
    sheet = tmp_path / "planilla.csv"
    sheet.write_text(MOODLE_ES, encoding="utf-8")
    broken = replace(grade("bruno@uni.es", "Bruno", ["skipped"] * 3), problem="No es un zip.")
    filled = fill_moodle(class_of(broken, grade("ana@uni.es", "Ana")), sheet, tmp_path)
    assert rows_of(filled.path)[2][4] == "3,00"
    assert filled.filled == 1 and ("bruno@uni.es", "no se ha calificado: No es un zip.") in filled.grades_alone


def test_a_submission_with_fewer_exercises_is_not_forgiven_their_points(tmp_path: Path) -> None:
    sheet = tmp_path / "planilla.csv"
    sheet.write_text(MOODLE_ES, encoding="utf-8")
    whole = grade("ana@uni.es", "Ana", ["passed", "passed", "passed"])
    half = replace(whole, key="bruno@uni.es", exercises=whole.exercises[:2])
    assert rows_of(fill_moodle(class_of(whole, half), sheet, tmp_path).path)[2][4] == "5,00"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "no tiene filas"), (b"PK\x03\x04", "libro de Excel"), (b"a,b\n1,2\n", "no se ve cuál es la columna")],
)
def test_a_file_that_is_no_worksheet_says_what_to_do(tmp_path: Path, content: bytes, problem: str) -> None:
    sheet = tmp_path / "planilla.csv"
    sheet.write_bytes(content)
    with pytest.raises(SheetError, match=rf"{problem}.*python3 curso\.py calificar .* --moodle PLANILLA$"):
        fill_moodle(moodle_class(), sheet, tmp_path)


@pytest.mark.parametrize("formula", [*FORMULAS, " =1+1", "\n=1+1", "＝1+1"])
def test_no_cell_is_a_formula(tmp_path: Path, formula: str) -> None:
    sheet = tmp_path / "planilla.csv"
    original = list(csv.reader(io.StringIO(MOODLE_ES)))
    original[1][1] = formula
    with sheet.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(original)
    attacker = replace(grade(formula, formula), key="ana@uni.es", problem=formula)
    written = write_reports(class_of(attacker, grade(formula, formula)), tmp_path, moodle=sheet)

    sheets = [path for path in written if path.suffix == ".csv"]
    cells = [cell for path in sheets for row in rows_of(path, "utf-8-sig") for cell in row]
    assert {path.name for path in sheets} == {"notas.csv", "moodle.csv", "moodle_sin_pareja.csv"}
    assert [cell for cell in cells if cell.strip()[:1] in {*"=+@-＝", "\t", "\r"} and cell != "-"] == []
    assert sum(cell.startswith("'") for cell in cells) >= 3


def test_a_harmless_cell_stays_as_it_is() -> None:
    assert [text_cell(text) for text in ("Ana", "O'Brien", "a-b", "", "ندى")] == ["Ana", "O'Brien", "a-b", "", "ندى"]


def test_the_marks_of_the_whole_class(tmp_path: Path) -> None:
    results = whole_class()
    write_reports(results, tmp_path)
    header, *rows = rows_of(tmp_path / "notas.csv", "utf-8-sig")
    assert len(rows) == len(results.grades) and {len(row) for row in rows} == {len(header)}
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert found["tarde"]["Puntos"] == "21" and found["tarde"]["Descuento por retraso"] == "3"
    assert found["inestable"]["Para revisar"] == "hay controles inestables"
    assert found["rota"]["Para revisar"] == "La entrega no es un zip que se pueda abrir."
    assert list(header[-4:]) == [
        "2.1 Eco con protocolo",
        "2.2 El apretón de manos",
        "3.1 Correo en segundo plano",
        "10.1 Chat",
    ]
    assert "\x1b" not in (tmp_path / "notas.csv").read_text(encoding="utf-8-sig")
    assert hostile().key != HOSTILE and rows[-1][1].startswith("\\x1b[2J")
