"""Los resultados para otros programas: CSV, JSON, Gradescope y JUnit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from taller.explain import transcript_lines
from taller.grading.reports.items import exercise_items
from taller.grading.reports.names import file_name
from taller.grading.reports.spreadsheet import Sheet, text_cell
from taller.grading.results import ClassResults, Grade
from taller.verdicts import CheckVerdict, ExerciseVerdict
from taller.visible import visible

MOST_STEPS = 100


def write_json(results: ClassResults, path: Path) -> Path:
    """Su esquema es `resultados.schema.json`, junto a este módulo. Solo ASCII: ningún carácter se cuela suelto."""
    opening = json.dumps(replace(results, grades=[]).to_json()).removesuffix("]}")
    # Cada entrega en su línea y por su cuenta: la clase entera en un solo texto ocuparía varias veces su memoria.
    with path.open("w", encoding="ascii") as file:
        file.write(opening)
        for index, grade in enumerate(results.grades):
            file.write((",\n" if index else "\n") + json.dumps(grade.to_json()))
        file.write("]}\n")
    return path


def write_marks(results: ClassResults, path: Path) -> Path:
    """`notas.csv`: una fila por entrega, con los decimales con punto."""
    items = exercise_items(results.grades)
    header = ["Entrega", "Estudiante", "Puntos", "Máximo", "Descuento por retraso", "Para revisar"]
    rows = [header + [f"{item.id} {item.title}" for item in items]]
    for grade in results.grades:
        points = {exercise.id: exercise.points for exercise in grade.exercises}
        by_exercise = [str(points.get(item.id, "")) for item in items]
        rows.append([*_summary(grade), *by_exercise])
    return Sheet(rows).write(path)


def _summary(grade: Grade) -> list[str]:
    review = grade.problem or ("hay controles inestables" if grade.unstable else "")
    discount = round(grade.raw_points - grade.points, 2)
    return [
        text_cell(grade.key),
        text_cell(grade.student),
        f"{grade.points:g}",
        str(grade.max_points),
        f"{discount:g}",
        text_cell(review),
    ]


def write_gradescope(results: ClassResults, folder: Path) -> list[Path]:
    """Un `results.json` por entrega, en su carpeta."""
    written = []
    for grade in results.grades:
        path = folder / "gradescope" / file_name(grade) / "results.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_gradescope(grade), indent=1) + "\n", encoding="ascii")
        written.append(path)
    return written


def _gradescope(grade: Grade) -> dict[str, Any]:
    late = "".join(f"Lección {one.lesson}: −{100 * one.penalty:.0f} % por retraso.\n" for one in grade.late)
    return {
        "score": grade.points,
        "execution_time": round(grade.duration_s),
        "output": visible(f"{grade.problem}\n{late}".strip()),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_gradescope_test(exercise, check) for exercise in grade.exercises for check in exercise.checks],
    }


def _gradescope_test(exercise: ExerciseVerdict, check: CheckVerdict) -> dict[str, Any]:
    return {
        "number": f"{exercise.id}.{check.number}",
        "name": visible(f"{exercise.id} {check.title}"),
        "score": check.points,
        "max_score": check.max_points,
        "status": "passed" if check.status == "passed" else "failed",
        "output": _outcome(exercise, check),
        "output_format": "text",
        "visibility": "visible",
    }


def write_junit(results: ClassResults, path: Path) -> Path:
    """Un `testsuite` por entrega y un `testcase` por control."""
    root = Xml.Element("testsuites", {"name": visible(results.course)})
    for grade in results.grades:
        _junit_suite(root, grade)
    Xml.indent(root)
    Xml.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    return path


def _junit_suite(root: Xml.Element, grade: Grade) -> None:
    cases = [(exercise, check) for exercise in grade.exercises for check in exercise.checks]
    statuses = [check.status for _, check in cases]
    counts = {
        "tests": len(cases) + bool(grade.problem),
        "failures": statuses.count("failed"),
        "errors": statuses.count("unstable") + bool(grade.problem),
        "skipped": statuses.count("skipped"),
    }
    attributes = {"name": visible(grade.key), "time": f"{grade.duration_s:.3f}"}
    suite = Xml.SubElement(root, "testsuite", attributes | {name: str(count) for name, count in counts.items()})
    if grade.problem:
        case = Xml.SubElement(suite, "testcase", {"classname": "entrega", "name": "se puede calificar", "time": "0"})
        Xml.SubElement(case, "error", {"message": visible(grade.problem)})
    for exercise, check in cases:
        _junit_case(suite, exercise, check)


def _junit_case(suite: Xml.Element, exercise: ExerciseVerdict, check: CheckVerdict) -> None:
    attributes = {"classname": exercise.id, "name": visible(check.title), "time": f"{check.duration_s:.3f}"}
    case = Xml.SubElement(suite, "testcase", attributes)
    tag = {"failed": "failure", "unstable": "error", "skipped": "skipped"}.get(check.status)
    if tag:
        Xml.SubElement(case, tag, {"message": visible(check.received)}).text = _outcome(exercise, check)


def _outcome(exercise: ExerciseVerdict, check: CheckVerdict) -> str:
    """Qué pasó, en texto; solo la primera pista, que la última puede ser la solución."""
    if check.status == "passed":
        return ""
    if check.status == "skipped":
        return visible(check.received)
    lines = [f"Se esperaba: {check.expected}", f"Llegó: {check.received}", *check.misconceptions]
    lines += [f"Pista: {check.hint}"] if check.hint else []
    lines += [exercise.problem] if exercise.problem else []
    return visible("\n".join([*lines, *transcript_lines(check.transcript[:MOST_STEPS])]))
