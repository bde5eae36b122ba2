"""Lo que cuesta calificar una clase, frente a arrancar un proceso nuevo por ejercicio.

    .venv/bin/python bench/calificar.py [--ejercicios 2.1,02] [--entregas 20,200] [--procesos N] [--mezcla]

Hace clases de entregas resueltas (con `--mezcla`, también a medias, sin empezar y de mala fe), las califica con
`calificar` y mide segundos por entrega y ejercicio, y el pico de memoria del proceso que califica. Al lado, en la misma
ejecución, lo mínimo que tardaría un calificador sin procesos calientes: un `uvicorn` nuevo hasta que atiende, y un
`python -m pytest` nuevo con los mismos controles sobre la primera entrega.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from taller.authoring.variants import variants
from taller.catalog import ROOT, Exercise, select
from taller.grading.plan import gradable

FRESH_TIMES = 5
KINDS = ("bien", "regular", "nada", "malo")
HOSTILE = "import os\n\nos._exit(0)\n"


def make_class(folder: Path, exercises: Sequence[Exercise], count: int, mixed: bool) -> None:
    for number in range(count):
        kind = KINDS[number % len(KINDS)] if mixed else "bien"
        for exercise in exercises:
            target = folder / f"{kind}-{number:03}" / exercise.lesson.slug
            if not target.exists():
                shutil.copytree(ROOT / "solutions" / exercise.lesson.slug, target)
            put(target.parent, exercise, kind, number)


def put(submission: Path, exercise: Exercise, kind: str, number: int) -> None:
    """Deja ese ejercicio como lo entregaría esa clase de estudiante."""
    if kind == "malo":
        (submission / exercise.relative).write_text(HOSTILE, encoding="utf-8")
    elif kind == "nada":
        shutil.copy(exercise.student_file, submission / exercise.relative)
    elif kind == "regular":
        wrong = list(variants(exercise))
        sources = {path.relative_to(submission): path.read_text("utf-8") for path in submission.rglob("*.py")}
        for path, text in wrong[number % len(wrong)].apply(exercise, sources).items():
            (submission / path).write_text(text, encoding="utf-8")


def grade(classroom: Path, exercises: Sequence[Exercise], more: Sequence[str]) -> tuple[float, float, dict[str, int]]:
    """Segundos, MiB de pico del proceso que califica, y cuántas entregas de cada clase están como se esperaba."""
    with tempfile.TemporaryDirectory() as name:
        reports = Path(name) / "informe"
        chosen = ",".join(exercise.id for exercise in exercises)
        arguments = [str(classroom), "--informe", str(reports), "--solo", chosen, "--semilla", "banco", *more]
        started = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "taller", "calificar", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        if process.returncode != 0:
            raise SystemExit("calificar ha fallado")
        return seconds, usage.ru_maxrss / 1024, expected(reports / "resultados.json")


def expected(path: Path) -> dict[str, int]:
    """De cada clase de entrega, cuántas tienen lo suyo: todo, algo menos que todo, o nada."""
    found = dict.fromkeys(KINDS, 0)
    for grade in json.loads(path.read_text(encoding="utf-8"))["grades"]:
        kind = grade["key"].partition("-")[0]
        points, most = grade["points"], grade["max_points"]
        found[kind] += {"bien": points == most, "regular": points < most, "nada": points < most, "malo": points == 0}[
            kind
        ]
    return found


def fresh_server(exercise: Exercise) -> float:
    """Un `uvicorn` nuevo, hasta que atiende, y sin comprobar nada."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "app.sock"
        started = time.perf_counter()
        command = [sys.executable, "-m", "uvicorn", f"{exercise.name}:app", "--uds", str(path), "--log-level", "error"]
        with subprocess.Popen(command, cwd=exercise.solution_file.parent) as process:
            while not path.exists():
                time.sleep(0.002)
            seconds = time.perf_counter() - started
            process.kill()
        return seconds


def fresh_checks(exercise: Exercise) -> float:
    """Un `pytest` nuevo, con su propio proceso del que nacen las apps."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", str(exercise.check_file), "--de", "soluciones"]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=120)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ejercicios", default="2.1")
    parser.add_argument("--entregas", default="20,200")
    parser.add_argument("--procesos", default="0")
    parser.add_argument("--mezcla", action="store_true")
    options = parser.parse_args()
    keys = [None] if options.ejercicios == "todos" else options.ejercicios.split(",")
    exercises = gradable([exercise for key in keys for exercise in select(key)])
    with tempfile.TemporaryDirectory(prefix="banco-") as name:
        for count in map(int, options.entregas.split(",")):
            classroom = Path(name) / f"clase-{count}"
            make_class(classroom, exercises, count, options.mezcla)
            seconds, memory, right = grade(classroom, exercises, ["--procesos", options.procesos])
            each = seconds / count / len(exercises)
            as_expected = ", ".join(f"{kind} {times}" for kind, times in right.items() if times)
            print(
                f"{count} entregas × {len(exercises)} ejercicios: {seconds:.1f} s, {each:.3f} s cada uno; "
                f"pico de {memory:.0f} MiB; como se esperaba: {as_expected}"
            )
    servers = statistics.median(fresh_server(exercises[0]) for _ in range(FRESH_TIMES))
    checks = statistics.median(fresh_checks(exercises[0]) for _ in range(FRESH_TIMES))
    print(
        f"un uvicorn nuevo, hasta que atiende: {servers:.2f} s; un pytest nuevo con {exercises[0].id}: {checks:.2f} s"
    )
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"CPU de todo lo anterior: {children.ru_utime + children.ru_stime:.0f} s")


if __name__ == "__main__":
    main()
