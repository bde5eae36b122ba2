"""El lanzador, de verdad: copias de curso.py en carpetas propias, con uv, pip y hatchling, sin red."""

import ast
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

COURSE = Path(__file__).resolve().parent.parent
BASE_PYTHON: str = getattr(sys, "_base_executable", sys.executable)
TALLER = "import json, sys\nprint(json.dumps([sys.prefix, *sys.argv[1:]]))\nsys.exit(int(sys.argv[1]))\n"
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "taller-apis-tiempo-real"
version = "0.1.0"
[tool.hatch.build]
dev-mode-dirs = ["."]
[tool.hatch.build.targets.wheel]
packages = ["taller"]
"""
TOOLS = ("uv", "hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
BWRAP = shutil.which("bwrap")
needs_bwrap = pytest.mark.skipif(BWRAP is None, reason="falta bubblewrap, que aísla la carpeta de verdad")


def repack(name: str, wheels: Path) -> str:
    """Rehace la rueda de un paquete instalado y devuelve su línea del lock."""
    package = distribution(name)
    stem = f"{name.replace('-', '_')}-{package.version}"
    wheel = wheels / f"{stem}-py3-none-any.whl"
    scripts = {entry.name for entry in package.entry_points}
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in package.files or []:
            in_bin = file.parts[0] == ".."
            if file.suffix == ".pyc" or file.name in {"RECORD", "INSTALLER"} or (in_bin and file.name in scripts):
                continue
            inside = f"{stem}.data/scripts/{file.name}" if in_bin else file.as_posix()
            archive.write(str(file.locate()), inside)
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name}=={package.version} \\\n    --hash=sha256:{digest}\n"


@pytest.fixture(scope="module")
def lock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    wheels = tmp_path_factory.mktemp("wheels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("UV_CACHE_DIR", str(wheels / "cache"))
        for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH"):
            patch.delenv(name, raising=False)
        for tool in ("PIP", "UV"):
            patch.setenv(f"{tool}_NO_INDEX", "1")
            patch.setenv(f"{tool}_FIND_LINKS", str(wheels))
        yield "".join(repack(name, wheels) for name in TOOLS)


def make_course(folder: Path, lock: str) -> Path:
    (folder / "taller").mkdir(parents=True)
    (folder / "taller/__init__.py").touch()
    (folder / "taller/__main__.py").write_text(TALLER)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "requirements.lock").write_text(lock)
    shutil.copy(COURSE / "curso.py", folder)
    return folder


def start(folder: Path, *, python: str = BASE_PYTHON, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*before, python, str(folder / "curso.py"), "7"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def launch(folder: Path, *, python: str = BASE_PYTHON, before: tuple[str, ...] = ()) -> tuple[int, str, str]:
    with start(folder, python=python, before=before) as process:
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, out, err


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "no llegó a tiempo"
        pause.wait(0.01)


@pytest.fixture(scope="module")
def ready(lock: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Una carpeta con espacios y acentos donde dos ventanas preparan el curso a la vez."""
    folder = make_course(tmp_path_factory.mktemp("x") / "el código", lock)
    with start(folder) as one, start(folder) as other:
        results = [process.communicate(timeout=60) for process in (one, other)]
    assert [one.returncode, other.returncode] == [7, 7], results
    errors = sorted((err for _, err in results), key=len)
    assert errors[0] == "Otra ventana está preparando el curso: espero a que termine.\n"
    assert "Listo" in errors[1]
    return folder


def test_ready_course_only_runs_taller(ready: Path) -> None:
    code, out, err = launch(ready)
    assert (code, json.loads(out), err) == (7, [f"{ready}/.venv", "7"], "")


def test_settings_that_install_nothing_do_not_install_again(ready: Path) -> None:
    project = ready / "pyproject.toml"
    project.write_text(f"{PROJECT}[tool.ruff]\nline-length = 100\n")
    code, _, err = launch(ready)
    project.write_text(PROJECT)
    assert (code, err) == (7, "")


def test_the_python_of_venv_may_start_it(ready: Path) -> None:
    assert launch(ready, python=str(ready / ".venv/bin/python"))[::2] == (7, "")


@needs_bwrap
def test_ready_course_runs_in_read_only_folder(ready: Path) -> None:
    code, _, err = launch(ready, before=(str(BWRAP), "--dev-bind", "/", "/", "--ro-bind", str(ready), str(ready)))
    assert (code, err) == (7, "")


@needs_bwrap
def test_read_only_folder_says_how_to_copy_it(lock: str, tmp_path: Path) -> None:
    folder = make_course(tmp_path / "curso", lock)
    before = (str(BWRAP), "--dev-bind", "/", "/", "--ro-bind", str(folder), str(folder))
    code, _, err = launch(folder, before=before)
    assert (code, err.count("\n")) == (2, 1)
    assert err.rstrip().endswith(f"cp -r {folder} ~/taller && cd ~/taller && python3 curso.py")


@needs_bwrap
def test_full_disk_is_one_clear_line(lock: str, tmp_path: Path) -> None:
    origin = make_course(tmp_path / "origin", lock)
    small = tmp_path / "small"
    small.mkdir()
    disk = ["--size", "3000000", "--tmpfs", str(small)]
    for path in origin.iterdir():
        disk += ["--ro-bind", str(path), str(small / path.name)]
    code, _, err = launch(small, before=(str(BWRAP), "--dev-bind", "/", "/", *disk))
    assert code == 2
    assert err.splitlines()[-1] == f"Disco lleno: haz sitio (750 MB) y repite: python3 {small}/curso.py 7"


def test_moved_and_killed_course_repairs_itself_without_uv(ready: Path, lock: str, tmp_path: Path) -> None:
    moved = tmp_path / "otro sitio"
    shutil.copytree(ready, moved, symlinks=True)
    (moved / "requirements.lock").write_text(lock[lock.index("hatchling==") :])
    with start(moved) as victim:
        wait_until(lambda: "Creo .venv" in read_line(victim))
        wait_until((moved / ".venv/pyvenv.cfg").exists)
        victim.kill()
    assert not (moved / ".venv/taller.stamp").exists()
    code, out, err = launch(moved)
    assert (code, json.loads(out)[0]) == (7, f"{moved}/.venv"), err
    assert err.startswith("Otra ventana"), "el paso que sobrevivió a curso.py debía conservar el turno"
    assert not (moved / ".venv/bin/uv").exists()
    assert launch(moved)[::2] == (7, "")
    (moved / "requirements.lock").write_text(lock)
    assert_rebuilds_until_interrupted(moved)


def test_lost_base_python_is_noticed(ready: Path) -> None:
    python = ready / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/no/existe/python3")
    assert_rebuilds_until_interrupted(ready)


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    return process.stderr.readline()


def assert_rebuilds_until_interrupted(folder: Path) -> None:
    with start(folder) as process:
        wait_until(lambda: "Borro el .venv anterior" in read_line(process))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith(f"\nInterrumpido. Para continuar: python3 '{folder}/curso.py' 7\n")


def test_missing_ensurepip_gives_the_cure(lock: str, tmp_path: Path) -> None:
    folder = make_course(tmp_path / "curso", lock)
    hide = "import runpy, sys; sys.modules['ensurepip'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    done = subprocess.run([BASE_PYTHON, "-c", hide, folder / "curso.py"], capture_output=True, text=True, timeout=30)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    expected = f"python{version}-venv && " if shutil.which("apt-get") else "python.org"
    assert done.returncode == 2
    assert expected in done.stderr
    assert not (folder / ".venv").exists()


def test_old_python_is_told_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    source = (COURSE / "curso.py").read_text("utf-8")
    ast.parse(source, feature_version=(3, 6))
    spec = importlib.util.spec_from_file_location("curso", COURSE / "curso.py")
    assert spec and spec.loader
    curso = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(curso)
    with pytest.raises(SystemExit) as stopped:
        curso.check_python((3, 10))
    assert stopped.value.code == 2
    assert "Instala Python 3.11 o posterior" in capsys.readouterr().err
    curso.check_python((3, 11))
