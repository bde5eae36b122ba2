"""Entregas de mala fe: no ganan lo que fingen, no tocan nada de fuera, no dejan nada y no paran a la clase.

Cada carpeta de `tests/hostile/` es una: `ataque.toml` dice qué intenta y los puntos que merece, y la entrega está en
`entrega/` o la hace `build.py`.
"""

import asyncio
import importlib.util
import json
import re
import shutil
import socket
import tempfile
import threading
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sandboxes import leftovers, require_bubblewrap

from taller.catalog import ROOT, find_exercise
from taller.checker import Checker
from taller.grading.classroom import Classroom
from taller.grading.notebook import Notebook
from taller.grading.plan import local_grader
from taller.grading.reports import write_reports
from taller.grading.reports.names import student_page
from taller.grading.results import ClassResults, Grade
from taller.grading.submissions import discover

HOSTILE = Path(__file__).parent / "hostile"
HOME_PORT = 27813
AT_ONCE = 6
HONEST = "zoe"
MARKS = [Path(folder, "hostil") for folder in ("/tmp", "/dev/shm", "/var/tmp", "/etc", "/root", "/", str(ROOT))]

require_bubblewrap()


@dataclass(frozen=True)
class Attack:
    """Un ataque y lo que tiene que salir de él."""

    name: str
    says: str
    exercise: str = "2.1"
    points: int = 0
    problem: str = ""
    received: str = ""


ATTACKS = [
    Attack(path.parent.name, **tomllib.loads(path.read_text(encoding="utf-8")))
    for path in sorted(HOSTILE.glob("*/ataque.toml"))
]


@dataclass
class Home:
    """Quien escucha fuera de la jaula, por si alguien llama."""

    heard: list[bytes]

    def listen(self, sock: socket.socket) -> None:
        def hear() -> None:
            while True:
                try:
                    data = sock.accept()[0].recv(100) if sock.type == socket.SOCK_STREAM else sock.recv(100)
                except OSError:
                    return
                self.heard.append(data)

        threading.Thread(target=hear, daemon=True).start()


@dataclass
class Graded:
    """La clase hostil ya calificada: las notas por ataque, lo que se oyó fuera y los informes."""

    grades: dict[str, Grade]
    honest: list[Grade]
    heard: list[bytes]
    reports: dict[str, str]
    leftovers: list[str]


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Graded:
    # La carpeta de pytest se decide la primera vez que se pide: antes de cambiar la de los demás.
    tmp_path_factory.getbasetemp()
    # Corta, porque dentro van sockets Unix.
    scratch = Path(tempfile.mkdtemp(prefix="hostil-"))
    scratch.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(scratch))
        patch.setattr(tempfile, "tempdir", None)
        return grade_everyone(scratch)


def grade_everyone(scratch: Path) -> Graded:
    home = Home([])
    groups = {key: build_class(scratch, key) for key in sorted({attack.exercise for attack in ATTACKS})}
    with Listening(home):
        grades = asyncio.run(grade_all(groups, scratch))
    everyone = [grade for group in grades for grade in group]
    reports = written_reports(everyone, scratch / "informe")
    left = leftovers(scratch, "clase-", "informe", "cuadernos")
    shutil.rmtree(scratch)
    return Graded(
        {grade.key: grade for grade in everyone if grade.key != HONEST},
        [grade for grade in everyone if grade.key == HONEST],
        home.heard,
        reports,
        left,
    )


class Listening:
    def __init__(self, home: Home) -> None:
        self.home = home
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> None:
        self.sockets.append(socket.create_server(("127.0.0.1", HOME_PORT)))
        self.sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.sockets[-1].bind(("127.0.0.1", HOME_PORT))
        self.sockets.append(socket.socket(socket.AF_UNIX))
        self.sockets[-1].bind("\0hostil-en-casa")
        self.sockets[-1].listen()
        for sock in self.sockets:
            self.home.listen(sock)

    def __exit__(self, *_: object) -> None:
        for sock in self.sockets:
            sock.close()


def build_class(scratch: Path, exercise_id: str) -> Path:
    """Los ataques a un ejercicio, y alguien que lo ha resuelto."""
    folder = scratch / f"clase-{exercise_id}"
    slug = find_exercise(exercise_id).lesson.slug
    shutil.copytree(ROOT / "solutions" / slug, folder / HONEST / slug)
    for attack in ATTACKS:
        if attack.exercise == exercise_id:
            put(HOSTILE / attack.name, folder / attack.name)
    return folder


def put(source: Path, target: Path) -> None:
    if (source / "entrega").is_dir():
        shutil.copytree(source / "entrega", target)
        return
    spec = importlib.util.spec_from_file_location("build", source / "build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build(target)


async def grade_all(groups: dict[str, Path], scratch: Path) -> list[list[Grade]]:
    """Todos los grupos a la vez, sobre los mismos procesos."""
    async with local_grader([find_exercise(key) for key in groups], AT_ONCE) as grader:

        async def grade(key: str, folder: Path) -> list[Grade]:
            notebook = Notebook.start(scratch / "cuadernos" / key, "hostil")
            await Classroom([find_exercise(key)], grader, notebook).grade_all(discover(folder), AT_ONCE)
            return notebook.grades()

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(grade(key, folder)) for key, folder in groups.items()]
    return [task.result() for task in tasks]


def written_reports(grades: list[Grade], folder: Path) -> dict[str, str]:
    results = ClassResults("Curso", "hostil", datetime.now(UTC), grades)
    write_reports(results, folder, gradescope=True, junit=True)
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_earns_only_what_it_deserves(graded: Graded, attack: Attack) -> None:
    grade = graded.grades[attack.name]
    assert grade.points == attack.points, told(grade)
    assert grade.max_points > 0
    assert re.search(attack.problem, f"{grade.problem} {grade.exercises[0].problem}"), told(grade)
    assert re.search(attack.received, told(grade)), told(grade)
    assert not grade.unstable, told(grade)


def told(grade: Grade) -> str:
    checks: Any = [(check.status, check.received) for exercise in grade.exercises for check in exercise.checks]
    return f"{grade.problem} {grade.exercises[0].problem if grade.exercises else ''} {checks}"


@pytest.mark.timeout(300)
def test_whoever_solved_it_has_all_the_points(graded: Graded) -> None:
    assert len(graded.honest) == len({attack.exercise for attack in ATTACKS})
    for grade in graded.honest:
        assert grade.points == grade.max_points, told(grade)


@pytest.mark.timeout(300)
def test_nothing_is_left_and_nothing_outside_was_touched(graded: Graded) -> None:
    assert graded.leftovers == []
    assert graded.heard == []
    assert [path for path in MARKS if path.exists()] == []
    assert [path.name for path in Path("/dev/shm").glob("hostil*")] == []


@pytest.mark.timeout(300)
def test_the_reports_run_nothing_of_theirs(graded: Graded) -> None:
    assert "hostil" in graded.reports[student_page(graded.grades["floods_the_terminal"])]
    for name, text in graded.reports.items():
        assert "\x1b" not in text, name
        if name.endswith(".html"):
            assert "<script>fetch" not in text, name
    assert json.loads(graded.reports["resultados.json"])["grades"]


@pytest.mark.timeout(60)
def test_without_a_sandbox_the_leak_would_pay(tmp_path: Path) -> None:
    """Si este ataque no funcionara tampoco fuera de la jaula, que dentro gane cero no diría nada."""
    put(HOSTILE / "reads_solutions", tmp_path / "entrega")
    with Checker.start() as checker:
        checker.wait_warm()
        verdict = asyncio.run(checker.check(find_exercise("2.1"), tmp_path / "entrega"))
    assert verdict.points == verdict.max_points
