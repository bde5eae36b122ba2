"""Una copia entera del curso y sus órdenes, para las pruebas que lo usan como lo usa una persona."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talking_process import Talking

from taller.catalog import ROOT

COPIED = ("taller", "lessons", "solutions", "exercises", "checks", "docs", "notebooks", "pyproject.toml")
DEADLINE = 100


def copy_course(folder: Path) -> Path:
    """El curso en `folder/curso`, con los ejercicios como los deja `autor sincronizar`."""
    root = folder / "curso"
    for name in COPIED:
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", ".*_cache")
        shutil.copytree(source, root / name, ignore=ignore) if source.is_dir() else shutil.copy(source, root / name)
    assert run(root, "autor", "sincronizar").returncode == 0
    return root


def run(root: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Una orden del curso, hasta que acaba."""
    return subprocess.run(
        [sys.executable, "-m", "taller", *arguments],
        cwd=root,
        env=environment(root, **env),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def portal(root: Path) -> Iterator[str]:
    """La dirección del portal que abre el curso sin ninguna orden; al salir, Ctrl+C."""
    running = Talking("-m", "taller", "--sin-navegador", cwd=root, env=environment(root))
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+", running.until_it_says("http"))
        assert address, running.lines
        yield address[0]
    finally:
        running.stop(signal.SIGINT)
    assert running.process.returncode == 0, running.lines


def environment(root: Path, **env: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root), "NO_COLOR": "1", **env}
