"""La línea de órdenes como la usa una persona: qué imprime, con qué código acaba y qué siguiente orden propone."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from whole_course import copy_course, run

from taller.cli.main import cli
from taller.cli.main import run as run_here
from taller.errors import TallerError
from taller.services import valkey


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_course(tmp_path_factory.mktemp("cli"))


def test_checks_leave_alone_the_redis_someone_has_exported(course: Path) -> None:
    """Los controles vacían y matan el suyo: el de la variable es de otra cosa."""

    async def keep_and_look() -> object:
        async with valkey() as server, server.client() as redis:
            await redis.set("mía", "sí")
            result = await asyncio.to_thread(
                run, course, "comprobar", "5.1", "--de", "soluciones", REDIS_URL=server.url
            )
            assert result.returncode == 0, result.stdout
            return await redis.get("mía")

    assert asyncio.run(keep_and_look()) in ("sí", "sí".encode())


def test_a_temporary_folder_with_a_long_path_is_no_obstacle(course: Path, tmp_path: Path) -> None:
    """5.4 pone sockets Unix para la app, para Redis y para el cable que los une; en una ruta así no cabría ninguno."""
    long = tmp_path / ("larga" * 20)
    long.mkdir()
    result = run(course, "comprobar", "5.4", "--de", "soluciones", TMPDIR=str(long))
    assert result.returncode == 0, result.stdout + result.stderr
    assert list(long.iterdir()) == []


MISUSES = [
    ("nada",),
    ("--nada",),
    ("--puerto", "muchos"),
    ("--puerto", "99999999"),
    ("comprobar", "9.9"),
    ("comprobar", "99"),
    ("comprobar", "hola"),
    ("comprobar", "2.1", "sobra"),
    ("comprobar", "--de"),
    ("comprobar", "2.1", "--de", "no/existe"),
    ("pista",),
    ("pista", "9.9"),
    ("reiniciar", "9.9"),
    ("reiniciar", "2.4", "--deshacer"),
    ("solucion", "2"),
    ("vigilar", "9.9"),
    ("demo",),
    ("demo", "99"),
    ("vivo", "02", "--paso", "99"),
    ("autor", "nada"),
    ("autor", "validar", "99"),
    ("autor", "estabilidad", "--veces", "0"),
    ("autor", "nueva", "Mala Idea"),
    ("autor", "nueva", "02_repetida"),
]


@pytest.mark.parametrize("arguments", MISUSES, ids=" ".join)
def test_misuse_gets_one_line_that_ends_with_the_next_command(course: Path, arguments: tuple[str, ...]) -> None:
    result = run(course, *arguments)
    assert result.returncode == 2, result
    assert result.stdout == ""
    assert re.fullmatch(r"✗ .+python3 curso\.py .+\n", result.stderr), result.stderr


def test_what_is_set_for_other_tests_does_not_reach_the_checks(course: Path) -> None:
    """Quien exporta PYTEST_ADDOPTS para su proyecto no tiene por qué acordarse de que los controles son pytest."""
    options = {"PYTEST_ADDOPTS": "--junitxml=out.xml -x --no-such-option", "PYTEST_PLUGINS": "no_such_plugin"}
    result = run(course, "comprobar", "2.1", "--de", "soluciones", **options)
    assert result.returncode == 0, result


def test_solutions_pass_and_the_json_is_the_documented_object(course: Path) -> None:
    result = run(course, "comprobar", "02", "--de", "soluciones", "--json")
    assert result.returncode == 0, result
    report = json.loads(result.stdout)
    assert report["schema"] == 1
    assert [exercise["id"] for exercise in report["exercises"]] == ["2.1", "2.2", "2.3", "2.4"]
    for exercise in report["exercises"]:
        assert exercise["passed"]
        assert exercise["points"] == exercise["max_points"] > 0
        for check in exercise["checks"]:
            assert {"number", "name", "title", "status", "points", "max_points", "expected"} <= set(check)
            assert {"received", "hint", "duration_s", "transcript"} <= set(check)


def test_skeletons_fail_every_check_and_say_how(course: Path) -> None:
    result = run(course, "comprobar", "02", "--json")
    assert result.returncode == 1, result
    for exercise in json.loads(result.stdout)["exercises"]:
        assert not exercise["passed"]
        assert {check["status"] for check in exercise["checks"]} <= {"failed", "skipped"}
        for check in exercise["checks"]:
            if check["status"] == "failed":
                assert check["expected"]
                assert check["received"]
                assert check["hint"]
                assert {"t", "from", "to", "kind", "text"} == set(check["transcript"][0])


def test_a_failed_check_reads_well_in_the_terminal(course: Path) -> None:
    result = run(course, "comprobar", "2.1")
    assert result.returncode == 1
    for text in ("Se esperaba", "Llegó", "not_implemented", "Pista", "cliente → app", "python3 curso.py pista 2.1"):
        assert text in result.stdout
    assert "\x1b" not in result.stdout


def test_plain_pytest_gives_the_same_verdict(course: Path) -> None:
    command = [sys.executable, "-m", "pytest", "checks/02_websockets/test_e1_eco.py", "-q"]
    env = {**os.environ, "PYTHONPATH": str(course)}
    passed = subprocess.run([*command, "--de", "soluciones"], cwd=course, env=env, capture_output=True, timeout=100)
    failed = subprocess.run(command, cwd=course, env=env, capture_output=True, text=True, timeout=100)
    assert (passed.returncode, failed.returncode) == (0, 1), failed.stdout
    assert "Se esperaba" in failed.stdout


def test_without_fork_the_verdict_is_the_same(course: Path) -> None:
    passed = run(course, "comprobar", "2.1", "--de", "soluciones", TALLER_SIN_FORK="1")
    failed = run(course, "comprobar", "2.1", TALLER_SIN_FORK="1")
    assert (passed.returncode, failed.returncode) == (0, 1), passed.stdout + failed.stdout
    assert "7/7 puntos" in passed.stdout
    assert "not_implemented" in failed.stdout


def test_the_same_seed_sends_the_same_data(course: Path) -> None:
    sent = []
    for _ in range(2):
        report = json.loads(run(course, "comprobar", "2.1", "--json", "--semilla", "x").stdout)
        sent.append([entry["text"] for entry in report["exercises"][0]["checks"][0]["transcript"]])
    assert sent[0] == sent[1]


def test_hints_open_one_at_a_time_and_progress_is_kept(course: Path) -> None:
    first, second = run(course, "pista", "2.1").stdout, run(course, "pista", "2.1").stdout
    assert "Pista 2 de 3" in first
    assert "Pista 3 de 3" in second
    assert "2.1 Eco con protocolo" in run(course, "lista").stdout


def test_reset_keeps_a_copy_and_says_where(course: Path) -> None:
    path = course / "exercises" / "02_websockets" / "e1_eco.py"
    pristine = path.read_text()
    path.write_text("# mi trabajo\n")
    result = run(course, "reiniciar", "2.1")
    assert path.read_text() == pristine
    kept = re.search(r"\.taller/copias/\S+", result.stdout)
    assert kept, result.stdout
    assert (course / kept[0] / "02_websockets" / "e1_eco.py").read_text() == "# mi trabajo\n"
    assert run(course, "reiniciar", "2.1", "--deshacer").returncode == 0
    assert path.read_text() == "# mi trabajo\n"
    path.write_text(pristine)


def test_a_missing_exercise_file_is_said_with_its_cure(course: Path) -> None:
    path = course / "exercises" / "02_websockets" / "e1_eco.py"
    text = path.read_text()
    path.unlink()
    result = run(course, "comprobar", "2.1")
    path.write_text(text)
    assert result.returncode == 1
    assert "No existe e1_eco.py" in result.stdout
    assert "python3 curso.py reiniciar 2.1" in result.stdout


def test_a_damaged_progress_file_costs_a_line_and_nothing_else(course: Path) -> None:
    path = course / ".taller" / "progreso.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text("{")
    result = run(course, "lista")
    assert result.returncode == 0
    assert re.fullmatch(r"✗ .+python3 curso\.py comprobar\n", result.stderr)
    assert "2.1 Eco con protocolo" in result.stdout


def test_progress_that_cannot_be_saved_is_one_line(course: Path, tmp_path: Path) -> None:
    state = course / ".taller"
    aside = tmp_path / "aparte"
    if state.exists():
        state.rename(aside)
    state.write_text("un archivo donde debía ir una carpeta")
    result = run(course, "comprobar", "2.1")
    state.unlink()
    if aside.exists():
        shutil.move(aside, state)
    assert result.returncode == 2
    assert re.fullmatch(r"✗ .+python3 curso\.py .+\n", result.stderr), result.stderr


def test_a_new_lesson_runs_from_the_first_moment(course: Path) -> None:
    assert run(course, "autor", "nueva", "55_prueba").returncode == 0
    assert run(course, "autor", "sincronizar").returncode == 0
    assert run(course, "comprobar", "55", "--de", "soluciones").returncode == 0
    result = run(course, "autor", "validar", "55")
    assert result.returncode == 1
    findings = [line for line in result.stderr.splitlines() if line.startswith("✗")]
    assert len(findings) == 2, findings
    assert "python3 curso.py autor sintomas 55" in findings[0]
    assert "docs/mapa_teoria.md" in findings[1]
    for place in ("lessons", "solutions", "exercises", "checks"):
        shutil.rmtree(course / place / "55_prueba")
    (course / "notebooks" / "55_prueba.ipynb").unlink()


def test_demo_serves_until_interrupted_and_a_taken_port_is_said(course: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "taller", "demo", "02"],
        cwd=course,
        env={**os.environ, "PYTHONPATH": str(course)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with demo, ExitStack() as stack:
        stack.callback(demo.kill)
        assert demo.stdout is not None
        line = demo.stdout.readline()
        port = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert port, line
        taken = run(course, "demo", "02", "--puerto", port[1])
        assert taken.returncode == 2
        assert re.fullmatch(r"✗ El puerto \d+ está ocupado.+python3 curso\.py demo 02\n", taken.stderr), taken.stderr
        demo.send_signal(signal.SIGINT)
        assert demo.wait(15) == 130


def orders(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """Todas las órdenes del curso, también las de dentro de otras."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from orders(command, *path, name)
        else:
            yield *path, name


@pytest.mark.parametrize("order", list(orders(cli)), ids=" ".join)
def test_help_is_in_spanish(order: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*order, "--ayuda"])
    assert result.exit_code == 0
    assert "Uso:" in result.output
    assert not re.search(r"\b(Usage|Options|Commands|Show this|default|required)\b|<=|>=", result.output)


def test_what_fails_inside_several_tasks_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ExceptionGroup("", [ExceptionGroup("", [TallerError("La cola se ha ido. Repite con: --reanudar")])])

    monkeypatch.setattr("taller.cli.course.open_portal", lambda *_: fail())
    assert run_here([]) == 2
    assert capsys.readouterr().err.strip().endswith("La cola se ha ido. Repite con: --reanudar")


UNSTABLE = """
from pathlib import Path

def test_that_passes_the_second_time():
    before = Path(__file__).with_name("before")
    there, _ = before.exists(), before.touch()
    assert there

def test_that_passes():
    assert not Path(__file__).with_name("broken").exists()
"""


def test_what_fails_in_the_crowd_is_tried_again_alone_and_said(course: Path, tmp_path: Path) -> None:
    file = tmp_path / "test_unstable.py"
    file.write_text(UNSTABLE)
    tried = run(course, "pruebas", str(file))
    assert tried.returncode == 0, tried.stdout
    assert "1 failed, 1 passed" in tried.stdout
    assert "1 passed" in tried.stdout.partition("Repito las que han fallado")[2]
    assert "Solas, pasan" in tried.stdout
    (tmp_path / "broken").touch()
    broken = run(course, "pruebas", str(file))
    assert broken.returncode == 1
    assert "Solas, pasan" not in broken.stdout
