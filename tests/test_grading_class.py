"""Una clase entera: cada cual saca lo que merece, dos veces igual, también si se interrumpe o se reparte."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sandboxes import leftovers, require_bubblewrap

from taller.authoring.variants import variants
from taller.catalog import ROOT, Exercise, find_exercise
from taller.checker import Checker
from taller.grading.queue import NAME
from taller.services import valkey
from taller.services.places import free_port

EXERCISES = [find_exercise("1.1"), find_exercise("2.1")]
SEED = "clase"
RIGHT, PARTLY, UNSTARTED, HOSTILE = 8, 4, 2, 2
PATIENCE = "2"
WAIT_SECONDS = 150.0

require_bubblewrap()
pytestmark = [pytest.mark.timeout(300)]

Marks = dict[str, dict[str, dict[str, str]]]


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="clase-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def classroom(scratch: Path) -> Path:
    """Entregas bien, a medias, sin empezar y de mala fe; carpetas y zip, ejercicios sueltos y copias enteras."""
    folder = scratch / "entregas"
    folder.mkdir()
    wrong = {exercise.id: list(variants(exercise)) for exercise in EXERCISES}
    for number in range(RIGHT):
        hand_in(folder / f"bien-{number}", number, {each: solution(each) for each in EXERCISES})
    for number in range(PARTLY):
        changed = {each: wrong[each.id][number % len(wrong[each.id])] for each in EXERCISES}
        texts = {
            each: variant.apply(each, {each.relative: solution(each)})[each.relative]
            for each, variant in changed.items()
        }
        hand_in(folder / f"regular-{number}", number, texts)
    for number in range(UNSTARTED):
        hand_in(folder / f"nada-{number}", number, {each: each.student_file.read_text("utf-8") for each in EXERCISES})
    for number in range(HOSTILE):
        hand_in(folder / f"malo-{number}", number, dict.fromkeys(EXERCISES, "import os\n\nos._exit(0)\n"))
    return folder


def solution(exercise: Exercise) -> str:
    return exercise.solution_file.read_text(encoding="utf-8")


def hand_in(target: Path, number: int, texts: dict[Exercise, str]) -> None:
    """Cada entrega tiene otra forma: suelta, dentro de `exercises/`, en una copia del curso, en un zip."""
    inside = [Path(), Path("exercises"), Path("curso-main", "exercises")][number % 3]
    for exercise, text in texts.items():
        text += f"\n# Entrega {number} de {target.name}: no hay dos iguales.\n"
        path = target / inside / exercise.relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if inside.parts[:1] == ("curso-main",):
        shutil.copytree(ROOT / "solutions" / "02_websockets", target / "curso-main" / "solutions" / "02_websockets")
    if number % 2:
        shutil.make_archive(str(target), "zip", target)
        shutil.rmtree(target)


def command(scratch: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Una orden del curso, en marcha."""
    env = {**os.environ, "TMPDIR": str(scratch), "TALLER_PACIENCIA": PATIENCE}
    return subprocess.Popen(
        [sys.executable, "-m", "taller", *arguments], env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE
    )


def order(classroom: Path, reports: Path, *more: str) -> list[str]:
    return ["calificar", str(classroom), "--informe", str(reports), "--solo", "1.1,2.1", "--semilla", SEED, *more]


def run(scratch: Path, *arguments: str) -> None:
    with command(scratch, *arguments) as process:
        output, _ = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0, output


def marks(reports: Path) -> Marks:
    """El estado de cada control de cada ejercicio de cada entrega."""
    data: dict[str, Any] = json.loads((reports / "resultados.json").read_text(encoding="utf-8"))
    return {
        grade["key"]: {
            exercise["id"]: {check["name"]: check["status"] for check in exercise["checks"]}
            for exercise in grade["exercises"]
        }
        for grade in data["grades"]
    }


@pytest.fixture(scope="module")
def graded(scratch: Path, classroom: Path) -> Marks:
    run(scratch, *order(classroom, scratch / "primera"))
    return marks(scratch / "primera")


def test_each_gets_exactly_what_it_deserves(scratch: Path, classroom: Path, graded: Marks) -> None:
    """Lo que merece lo dicen los controles de siempre, sin jaula ni calificador, sobre los mismos archivos."""
    expected = asyncio.run(deserved(scratch))
    assert len(graded) == RIGHT + PARTLY + UNSTARTED + HOSTILE
    for key, exercises in graded.items():
        kind = key.partition("-")[0]
        wanted = expected[key] if kind == "regular" else expected[kind]
        assert exercises == wanted, key
    right = {
        status for key in graded if key.startswith("bien") for each in graded[key].values() for status in each.values()
    }
    assert right == {"passed"}


async def deserved(scratch: Path) -> dict[str, dict[str, dict[str, str]]]:
    folder = scratch / "sueltas"
    wrong = {exercise.id: list(variants(exercise)) for exercise in EXERCISES}
    texts = {
        "bien": {each: solution(each) for each in EXERCISES},
        "nada": {each: each.student_file.read_text("utf-8") for each in EXERCISES},
        "malo": dict.fromkeys(EXERCISES, "import os\n\nos._exit(0)\n"),
    }
    for number in range(PARTLY):
        texts[f"regular-{number}"] = {
            each: wrong[each.id][number % len(wrong[each.id])].apply(each, {each.relative: solution(each)})[
                each.relative
            ]
            for each in EXERCISES
        }
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALLER_PACIENCIA", PATIENCE)
        with Checker.start() as checker:
            checker.wait_warm()
            for name, sources in texts.items():
                for exercise, text in sources.items():
                    (folder / name / exercise.relative).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name / exercise.relative).write_text(text, encoding="utf-8")
                verdicts = await checker.check_all(EXERCISES, folder / name, seed=SEED)
                found[name] = {each.id: {check.name: check.status for check in each.checks} for each in verdicts}
    shutil.rmtree(folder)
    return found


def test_killed_half_way_and_resumed_gives_the_same(scratch: Path, classroom: Path, graded: Marks) -> None:
    """Y la segunda vez, además, es otra calificación entera con la misma semilla."""
    reports = scratch / "segunda"
    with command(scratch, *order(classroom, reports)) as process:
        wait_for(lambda: len(list(reports.glob(".calificado/*.json"))) > RIGHT)
        process.kill()
    assert not (reports / "resultados.json").exists()
    half = {path.name: path.stat().st_mtime_ns for path in reports.glob(".calificado/*.json")}
    assert len(half) < len(graded)
    assert_nothing_left(scratch)
    assert refused(scratch, *order(classroom, reports)) == 2, "sin decir qué hacer con lo que quedó a medias"
    run(scratch, *order(classroom, reports, "--reanudar"))
    assert marks(reports) == graded


def refused(scratch: Path, *arguments: str) -> int:
    with command(scratch, *arguments) as process:
        return process.wait(WAIT_SECONDS)


def test_two_workers_on_a_queue_and_one_dies(scratch: Path, classroom: Path, graded: Marks) -> None:
    asyncio.run(with_a_queue(scratch, classroom, graded))


async def with_a_queue(scratch: Path, classroom: Path, graded: Marks) -> None:
    async with valkey(port=free_port()) as server:
        await asyncio.to_thread(on_the_queue, server.url, scratch, classroom)
    assert marks(scratch / "repartida") == graded
    assert_nothing_left(scratch)


def on_the_queue(url: str, scratch: Path, classroom: Path) -> None:
    reports = scratch / "repartida"
    with Redis.from_url(url) as redis, working(scratch, url) as doomed:
        wait_for(lambda: len(consumers(redis)) == 1)
        (name,) = consumers(redis)
        with working(scratch, url), command(scratch, *order(classroom, reports, "--cola", url)) as coordinator:
            wait_for(lambda: len(consumers(redis)) == 2 and consumers(redis)[name] > 0)
            doomed.kill()
            doomed.wait()
            assert consumers(redis)[name] > 0, "muere con algo entre manos"
            coordinator.communicate(timeout=WAIT_SECONDS)
            assert coordinator.returncode == 0
        assert set(consumers(redis).values()) == {0}
        assert redis.xlen(NAME) == 0


def consumers(redis: "Redis[bytes]") -> dict[bytes, int]:
    """Cuántos encargos tiene entre manos cada trabajador."""
    found = redis.xinfo_consumers(NAME, NAME) if redis.exists(NAME) else []
    return {each["name"]: each["pending"] for each in found}


@contextmanager
def working(scratch: Path, url: str) -> Iterator["subprocess.Popen[str]"]:
    with command(scratch, "trabajador", "--cola", url, "--procesos", "2") as process:
        try:
            yield process
        finally:
            alive = process.poll() is None
            process.terminate()
            process.communicate(timeout=WAIT_SECONDS)
        assert not alive or process.returncode == 0


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def assert_nothing_left(scratch: Path) -> None:
    """Ni procesos ni jaulas; los archivos temporales de un proceso muerto con SIGKILL sí pueden quedar."""
    assert leftovers(scratch, "entregas", "primera", "segunda", "repartida", "taller-") == []
