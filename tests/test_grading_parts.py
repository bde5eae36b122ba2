"""Las piezas del calificador, de una en una: leer entregas, plazos, repetir lo que falla y no lo que no cambia."""

import asyncio
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest

from taller.catalog import ROOT, find_exercise
from taller.grading.classroom import Classroom
from taller.grading.deadlines import read_deadlines
from taller.grading.digests import exercise_digest
from taller.grading.errors import GradingError
from taller.grading.grader import Grader, agree, staged
from taller.grading.notebook import Notebook
from taller.grading.queue import remote_examiner, serve
from taller.grading.results import ClassResults
from taller.grading.shared import SharedPath
from taller.grading.speed import measured_patience
from taller.grading.submissions import Contents, Submission, discover, read
from taller.grading.trees import TreeError
from taller.misconceptions import _fits
from taller.runner.sandbox import SandboxError
from taller.services import valkey
from taller.services.places import free_port
from taller.verdicts import CheckVerdict, ExerciseVerdict, Status

ECHO = find_exercise("2.1")
TOKEN = find_exercise("7.1")
CODE = "from fastapi import FastAPI\n\napp = FastAPI()\n"


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(CODE, encoding="utf-8")


def checks(*statuses: Status) -> ExerciseVerdict:
    found = [CheckVerdict(n, f"test_{n}", f"Control {n}", status, 2) for n, status in enumerate(statuses, 1)]
    return ExerciseVerdict("2.1", "Eco", found, 0.1)


@pytest.mark.parametrize(
    "where",
    ["02_websockets", "exercises/02_websockets", "curso-main/exercises/02_websockets", "tarea/02_websockets"],
)
def test_a_submission_may_be_the_exercises_or_a_whole_checkout(tmp_path: Path, where: str) -> None:
    write(tmp_path / "ana", f"{where}/e1_eco.py", f"{where}/ayuda/mas.py", f"{where}/__pycache__/e1_eco.pyc")
    write(tmp_path / "ana", "curso-main/solutions/02_websockets/e1_eco.py", "otra/cosa.py")
    (submission,) = discover(tmp_path)
    contents = read(submission, [ECHO])
    assert {str(path) for path in contents.files} == {"02_websockets/e1_eco.py", "02_websockets/ayuda/mas.py"}


def test_what_moodle_downloads(tmp_path: Path) -> None:
    folder = tmp_path / "Ana Pérez_1234_assignsubmission_file"
    folder.mkdir()
    with zipfile.ZipFile(folder / "lo mío.zip", "w") as archive:
        archive.writestr("02_websockets/e1_eco.py", CODE)
    (tmp_path / "planilla.csv").write_text("no es una entrega")
    (submission,) = discover(tmp_path)
    assert submission.student == "Ana Pérez"
    assert read(submission, [ECHO]).files == {PurePosixPath("02_websockets/e1_eco.py"): CODE.encode()}


def test_submissions_without_exercises_or_without_end(tmp_path: Path) -> None:
    write(tmp_path / "vacia", "leeme.py")
    (submission,) = discover(tmp_path)
    with pytest.raises(TreeError, match="carpeta de ejercicios"):
        read(submission, [ECHO])
    write(tmp_path / "vacia", *(f"02_websockets/{number}.py" for number in range(9)))
    for number in range(9):
        (tmp_path / "vacia" / "02_websockets" / f"{number}.py").write_bytes(b"#" * 1024 * 1000)
    with pytest.raises(TreeError, match="8 MiB"):
        read(submission, [ECHO])
    with pytest.raises(GradingError, match="ls"):
        discover(tmp_path / "vacia" / "02_websockets")


def test_late_marks(tmp_path: Path) -> None:
    path = tmp_path / "plazos.toml"
    path.write_text(
        'zona = "Europe/Madrid"\npor_dia = 0.1\nmaximo = 0.25\ngracia_minutos = 15\n'
        "[plazos]\n02 = 2026-11-20T23:59:00\ntodas = 2026-12-01T23:59:00+00:00\n"
        "[entregas]\nana = 2026-11-21T10:00:00\n"
    )
    deadlines = read_deadlines(path)
    limit = datetime(2026, 11, 20, 22, 59, tzinfo=UTC)
    by_key, by_name = Submission("ana", "Ana Pérez", tmp_path), Submission("ana_12_file", "ana", tmp_path)
    for submission in (by_key, by_name):
        assert deadlines.submitted_at(submission, None) == datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    deadlines.refuse_strangers([by_name])
    with pytest.raises(GradingError, match=r"«ana».*--plazos$"):
        deadlines.refuse_strangers([Submission("anna", "Ana Pérez", tmp_path)])
    assert deadlines.late([2], limit + timedelta(minutes=15)) == []
    assert [late.penalty for late in deadlines.late([2, 3], limit + timedelta(minutes=16))] == [0.1]
    assert [late.penalty for late in deadlines.late([2], limit + timedelta(days=1, minutes=1))] == [0.2]
    assert [late.penalty for late in deadlines.late([2, 3], limit + timedelta(days=30))] == [0.25, 0.25]


@pytest.mark.parametrize("text", ["[plazos]\n02 = 3", "por_dia = 2", "pordia = 0.1", "zona = 'Marte'", "[plazos"])
def test_deadlines_that_cannot_be_understood(tmp_path: Path, text: str) -> None:
    (tmp_path / "plazos.toml").write_text(text)
    with pytest.raises(GradingError, match="nano"):
        read_deadlines(tmp_path / "plazos.toml")


def test_what_disagrees_with_itself_is_neither_passed_nor_failed() -> None:
    agreed = agree(
        checks("passed", "failed", "failed", "skipped"), checks("passed", "failed", "passed", "passed"), "s1"
    )
    assert [check.status for check in agreed.checks] == ["passed", "failed", "unstable", "unstable"]
    assert agreed.points == 2
    assert all("s1" in check.received for check in agreed.checks[2:])
    assert agree(replace(checks(), problem="se colgó"), checks("passed"), "s1") == replace(checks("passed"), problem="")


class Counting:
    """Un comprobador que apunta lo que le piden; falla la primera vez lo que se le diga."""

    def __init__(self, *outcomes: ExerciseVerdict) -> None:
        self.outcomes, self.seen = list(outcomes), list[str]()

    async def check(self, exercise: object, folder: Path, *, seed: str | None = None) -> ExerciseVerdict:
        self.seen.append((folder / ECHO.relative).read_text(encoding="utf-8"))
        return self.outcomes.pop(0) if self.outcomes else checks("passed")


def test_only_what_failed_is_repeated_and_only_what_changed_is_graded_again(tmp_path: Path) -> None:
    write(tmp_path / "clase", "ana/02_websockets/e1_eco.py", "luis/02_websockets/e1_eco.py")
    first = Counting(checks("failed"), checks("failed"))
    notebook = grade(tmp_path, first)
    assert len(first.seen) == 3
    assert [grade.points for grade in notebook.grades()] == [0, 2]

    (tmp_path / "clase" / "luis" / ECHO.relative).write_text("cambiado")
    second = Counting()
    again = grade(tmp_path, second)
    assert second.seen == ["cambiado"]
    assert [grade.points for grade in again.grades()] == [0, 2]


def test_doubtful_verdicts_are_graded_again(tmp_path: Path) -> None:
    write(tmp_path / "clase", "ana/02_websockets/e1_eco.py")
    grade(tmp_path, Counting(checks("failed"), checks("passed")))
    second = Counting()
    assert [grade.points for grade in grade(tmp_path, second).grades()] == [2]
    assert len(second.seen) == 1


def test_starting_again_forgets_what_was_graded_with_the_same_seed(tmp_path: Path) -> None:
    write(tmp_path / "clase", "ana/02_websockets/e1_eco.py")
    grade(tmp_path, Counting())
    Notebook.start(tmp_path / "informe", "s", forget=True)
    again = Counting()
    grade(tmp_path, again)
    assert len(again.seen) == 1


def test_a_jail_that_does_not_open_is_the_problem_of_one_exercise(tmp_path: Path) -> None:
    class Jammed(Counting):
        async def check(self, exercise: object, folder: Path, *, seed: str | None = None) -> ExerciseVerdict:
            verdict = await super().check(exercise, folder, seed=seed)
            if len(self.seen) == 1:
                raise SandboxError("la jaula no se abre")
            return verdict

    write(tmp_path / "clase", "ana/02_websockets/e1_eco.py", "luis/02_websockets/e1_eco.py")
    ana, luis = grade(tmp_path, Jammed()).grades()
    assert ana.exercises[0].problem == "la jaula no se abre"
    assert luis.points == 2
    second = Counting()
    assert [grade.points for grade in grade(tmp_path, second).grades()] == [2, 2]
    assert len(second.seen) == 1


def test_equal_submissions_share_one_order_and_nobody_waits_for_ever() -> None:
    """Con un veredicto que no se guarda: quien preguntara el segundo se quedaría esperándolo."""

    async def ask() -> list[ExerciseVerdict]:
        contents, stop = Contents({PurePosixPath(ECHO.relative): CODE.encode()}), asyncio.Event()
        async with valkey(port=free_port()) as server:
            working = asyncio.create_task(serve(server.url, Grader(Counting(), 1), stop, lambda line: None))
            try:
                async with remote_examiner(server.url) as examiner, asyncio.timeout(30):
                    asking = [examiner.examine(ECHO, contents, "s", "otra versión") for _ in range(6)]
                    return await asyncio.gather(*asking)
            finally:
                stop.set()
                await asyncio.wait([working], timeout=10)

    verdicts = asyncio.run(ask())
    assert len(verdicts) == 6
    assert all("otra versión" in verdict.problem for verdict in verdicts), verdicts[0].problem


def test_what_could_not_be_checked_to_the_end_is_not_passed() -> None:
    assert checks("passed").passed
    assert not replace(checks("passed"), problem="no terminó a tiempo").passed


def test_a_zip64_is_not_opened(tmp_path: Path) -> None:
    """Sus cuentas van aparte, y con ellas se esconde un índice enorme."""
    write(tmp_path / "clase", "leeme.txt")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("02_websockets/e1_eco.py", CODE)
    plain = data.getvalue()
    end = plain.rindex(b"PK\x05\x06")
    (tmp_path / "ana.zip").write_bytes(plain[:end] + b"PK\x06\x07" + bytes(16) + plain[end:])
    (submission,) = [each for each in discover(tmp_path) if each.path.name == "ana.zip"]
    with pytest.raises(TreeError, match="zip64"):
        read(submission, [ECHO])


def test_without_a_readable_submission_the_mark_is_a_zero_out_of_the_same(tmp_path: Path) -> None:
    write(tmp_path / "clase", "ana/02_websockets/e1_eco.py")
    (tmp_path / "clase" / "luis.zip").write_bytes(b"nada")
    ana, luis = grade(tmp_path, Counting()).grades()
    assert (luis.points, luis.max_points) == (0, ana.max_points)
    assert "zip" in luis.problem
    results = ClassResults("Curso", "s", datetime.now(UTC), [ana, luis])
    assert ClassResults.from_json(results.to_json()) == results


def grade(folder: Path, checker: Counting) -> Notebook:
    notebook = Notebook.start(folder / "informe", "s")
    classroom = Classroom([ECHO], Grader(checker, 1), notebook)
    asyncio.run(classroom.grade_all(discover(folder / "clase"), 1))
    opened = Notebook.open(folder / "informe")
    assert opened
    assert opened.finished
    return opened


def test_a_digest_covers_the_lesson_the_checks_and_the_seed() -> None:
    contents = Contents({PurePosixPath(ECHO.relative): b"1", PurePosixPath("07_seguridad/e1_token.py"): b"2"})
    other = Contents({**contents.files, PurePosixPath("07_seguridad/e1_token.py"): b"3"})
    helper = Contents({**contents.files, PurePosixPath("02_websockets/ayuda.py"): b"4"})
    assert exercise_digest(ECHO, contents, "s") == exercise_digest(ECHO, other, "s")
    assert exercise_digest(TOKEN, contents, "s") != exercise_digest(TOKEN, other, "s")
    different = {exercise_digest(ECHO, each, seed) for each in (contents, helper) for seed in ("s", "t")}
    assert len(different) == 4


def test_only_the_files_of_the_lesson_are_put_in_place_and_then_removed() -> None:
    async def look() -> tuple[list[str], Path]:
        contents = Contents({PurePosixPath(ECHO.relative): b"1", PurePosixPath("07_seguridad/e1_token.py"): b"2"})
        async with staged(contents, ECHO) as folder:
            return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")), folder

    found, folder = asyncio.run(look())
    assert found == ["02_websockets", "02_websockets/e1_eco.py"]
    assert not folder.exists()


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    SharedPath.top, SharedPath.descriptor = "/compartida", descriptor
    yield tmp_path
    os.close(descriptor)


@pytest.mark.timeout(10)
def test_what_apps_share_is_read_without_trust(shared: Path) -> None:
    top = SharedPath("/compartida")
    (shared / "diario.txt").write_text("cerrado\n")
    (shared / "enlace").symlink_to("/etc/passwd")
    os.mkfifo(shared / "tuberia")
    with (shared / "enorme").open("wb") as stream:
        stream.truncate(2**33)
    assert (top / "diario.txt").read_text(encoding="utf-8") == "cerrado\n"
    assert (top / "diario.txt").exists()
    assert not (top / "otro").exists()
    assert not (top / "enlace").exists()
    for name in ("enlace", "tuberia"):
        with pytest.raises(OSError, match=r"."):
            (top / name).read_text()
    assert len((top / "enorme").read_text()) <= 2**20
    (top / "nueva").mkdir(exist_ok=True)
    assert (shared / "nueva").is_dir()
    with pytest.raises(ValueError, match="compartida"):
        (top / "nueva" / ".." / "x").exists()


def test_known_slips_are_recognised_in_linear_time() -> None:
    assert _fits("falta ◊ en ◊.", "falta algo en casa.")
    assert not _fits("falta ◊ en ◊.", "falta algo en casa")
    assert not _fits("uno◊", "dos")
    assert _fits("igual", "igual")
    assert not _fits("a◊a", "a")
    assert not _fits("◊".join("ab" * 20) + "c", "ab" * 200_000)


def test_patience_is_never_below_one() -> None:
    assert measured_patience() >= 1.0


@pytest.mark.timeout(60)
def test_without_bubblewrap_it_refuses_and_says_how_to_install_it(tmp_path: Path) -> None:
    write(tmp_path / "clase", "ana/02_websockets/e1_eco.py")
    arguments = [str(tmp_path / "clase"), "--informe", str(tmp_path / "notas"), "--solo", "2.1"]
    tried = subprocess.run(
        [sys.executable, "-m", "taller", "calificar", *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path), "TALLER_PACIENCIA": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 2
    assert "sudo apt install bubblewrap" in tried.stderr
    assert not (tmp_path / "notas" / "resultados.json").exists()


@pytest.mark.timeout(120)
def test_without_isolation_it_warns_and_grades(tmp_path: Path) -> None:
    write(tmp_path / "clase", "ana/02_websockets/e1_eco.py")
    (tmp_path / "clase" / "ana" / ECHO.relative).write_text(ECHO.solution_file.read_text("utf-8"), encoding="utf-8")
    arguments = [str(tmp_path / "clase"), "--informe", str(tmp_path / "notas"), "--solo", "2.1", "--sin-aislamiento"]
    tried = subprocess.run(
        [sys.executable, "-m", "taller", "calificar", *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path), "TALLER_PACIENCIA": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 0, tried.stderr
    assert "Sin aislamiento" in tried.stderr
    assert "ana  7/7" in tried.stdout
