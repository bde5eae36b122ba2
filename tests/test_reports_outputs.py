"""Los resultados para otros programas: se leen de vuelta, y nada ajeno rompe su formato."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import jsonschema
import pytest
from reports_class import NOON, SOLUTION, class_of, exercise, grade, whole_class

from taller.grading import reports
from taller.grading.reports import write_reports
from taller.grading.reports.changes import changes
from taller.grading.reports.items import exercise_items, misconceptions
from taller.grading.results import ClassResults, Grade
from taller.verdicts import CheckVerdict, ExerciseVerdict, Status

SCHEMA = json.loads(Path(reports.__file__).with_name("resultados.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("informe")
    written = write_reports(whole_class(), folder, gradescope=True, junit=True)
    assert written[0] == folder / "index.html"
    assert sorted(written) == sorted(path for path in folder.rglob("*") if path.is_file())
    return folder


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_results_come_back_equal(folder: Path) -> None:
    data = read_json(folder / "resultados.json")
    jsonschema.validate(data, SCHEMA)
    assert ClassResults.from_json(data) == whole_class()


@pytest.mark.parametrize("broken", [{"points": "3"}, {"extra": 1}, {"exercises": [{"id": "2.1"}]}])
def test_the_schema_refuses_what_it_does_not_describe(folder: Path, broken: dict[str, Any]) -> None:
    data = read_json(folder / "resultados.json")
    data["grades"][0] |= broken
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMA)


def test_gradescope_gets_one_file_for_each_submission(folder: Path) -> None:
    files = list(folder.glob("gradescope/*/results.json"))
    assert len(files) == len(whole_class().grades)
    found = {path.parent.name.rpartition("-")[0]: read_json(path) for path in files}
    assert [test["status"] for test in found["inestable"]["tests"][:3]] == ["passed", "failed", "failed"]
    assert found["inestable"]["tests"][1]["output"].startswith(
        'Se esperaba: {"type": "echo", "text": "hola", "count": 1}'
    )
    data = found["tarde"]
    assert data["score"] == 21
    assert sum(test["score"] for test in data["tests"]) == 24
    assert data["output"] == "Lección 2: −25 % por retraso."
    assert len({test["number"] for test in data["tests"]}) == len(data["tests"]) == 12


def test_students_never_get_the_last_hint(folder: Path) -> None:
    for path in (*folder.glob("gradescope/*/*.json"), *folder.glob("estudiantes/*.html"), folder / "junit.xml"):
        text = path.read_text(encoding="utf-8")
        assert "la última pista" not in text
        assert SOLUTION[:12] not in text
    assert "la \\u00faltima pista" in (folder / "resultados.json").read_text(encoding="utf-8")


def test_junit_counts_what_it_lists(folder: Path) -> None:
    root = Xml.parse(folder / "junit.xml").getroot()
    suites = {suite.attrib["name"]: suite for suite in root}
    assert len(suites) == len(whole_class().grades)
    for suite in suites.values():
        for attribute, tag in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
            assert int(suite.attrib[attribute]) == len(list(suite.iter(tag)))
        assert int(suite.attrib["tests"]) == len(list(suite.iter("testcase")))
    assert [error.attrib["message"] for error in suites["rota"].iter("error")] == [
        "La entrega no es un zip que se pueda abrir."
    ]
    assert len(list(suites["inestable"].iter("error"))) == 4


def test_a_second_run_says_what_changed() -> None:
    before = class_of(grade("ana", "Ana"), grade("bruno", "Bruno"), grade("se-fue", "X"))
    after = class_of(grade("ana", "Ana", ["passed"] * 3), grade("bruno", "Bruno"), grade("nueva", "Y"))
    found = {change.key: change for change in changes(before, after)}
    assert set(found) == {"ana", "se-fue", "nueva"}
    assert (found["ana"].before, found["ana"].now) == (12, 24)
    assert found["ana"].checks[0] == "2.1, control 3 «Contesta a lo que pide el control 3»: no superado → superado"
    assert (found["se-fue"].now, found["nueva"].before) == (None, None)
    assert changes(after, after) == []


def class_with_answers(answers: list[tuple[bool, ...]]) -> list[Grade]:
    words: dict[bool, Status] = {True: "passed", False: "failed"}
    made = [exercise("2.1", [words[answer] for answer in answered]) for answered in answers]
    return [Grade(str(number), "X", "h", [one], 1.0) for number, one in enumerate(made)]


def test_item_analysis_is_right_on_a_class_worked_by_hand() -> None:
    """El control 1 sigue a los demás puntos, el 2 va al revés y el 3 lo superan todos."""
    grades = class_with_answers([(True, False, True)] * 4 + [(False, True, True)] * 4)
    [item] = exercise_items(grades)
    first, second, third = item.checks
    assert (first.difficulty, second.difficulty, third.difficulty) == (0.5, 0.5, 1.0)
    assert first.discrimination == pytest.approx(-1) and second.discrimination == pytest.approx(-1)
    assert third.discrimination is None
    assert (item.full, item.partial, item.none) == (0, 8, 0)

    [item] = exercise_items(class_with_answers([(True, True, False)] * 3 + [(False, False, False)] * 5))
    assert item.checks[0].discrimination == pytest.approx(1)
    assert (item.full, item.partial, item.none) == (0, 3, 5)
    assert (
        exercise_items(class_with_answers([(True, True, False), (False, False, False)]))[0].checks[0].discrimination
        is None
    )


def test_misconceptions_come_from_the_check_or_from_its_only_variant() -> None:
    def failing(name: str, misconceptions: list[str]) -> ExerciseVerdict:
        failed = CheckVerdict(1, name, "Eco", "failed", 1, misconceptions=misconceptions)
        return ExerciseVerdict("2.1", "Eco con protocolo", [failed], 0.1)

    grades = [
        Grade("a", "A", "h", [failing("test_invalid_json", ["Recibe texto."])], 1.0),
        Grade("b", "B", "h", [failing("test_invalid_json", ["Recibe texto."])], 1.0),
        Grade("c", "C", "h", [failing("test_que_no_existe", [])], 1.0),
        Grade("d", "D", "h", [failing("test_many_echoes", [])], 1.0),
    ]
    found = misconceptions(grades)
    assert [(one.students, one.says) for one in found] == [
        (2, "Recibe texto."),
        (1, "La función atiende la conexión entera: si contesta una vez y termina, la conexión se cierra."),
    ]


def test_an_empty_class_has_reports_too(tmp_path: Path) -> None:
    written = write_reports(
        ClassResults("Curso", "1", NOON + timedelta(days=1), []), tmp_path, junit=True, gradescope=True
    )
    assert "No había ninguna entrega." in written[0].read_text(encoding="utf-8")
