"""`taller proyecto` en su proceso, para las pruebas: lo que dice, los procesos que tiene y cómo acaba."""

import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from taller.catalog import ROOT
from taller.services.supervisor import gone

PATIENCE = 90.0
# Con una carpeta de datos que no es la de quien prueba; lo demás, como la orden.
SERVE = """
import asyncio, sys
from pathlib import Path
from taller.cli.output import say
from taller.project.plan import Plan
from taller.project.serve import serve_project
asyncio.run(serve_project(Plan(data=Path(sys.argv[1]), processes=1), say, demo=True))
"""


class Project:
    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            self._news.put(line)
        self._news.put("")

    def until_it_says(self, text: str, seconds: float = PATIENCE) -> str:
        """La línea que contiene `text`."""
        limit = time.monotonic() + seconds
        while not (found := [line for line in self.lines if text in line]):
            left = limit - time.monotonic()
            assert left > 0 and self.process.poll() is None, f"no dice «{text}», sino {self.lines}"
            try:
                self._news.get(timeout=left)
            except queue.Empty:
                continue
        return found[0]

    @property
    def url(self) -> str:
        return self.until_it_says("Plaza está en").split()[3].rstrip("/")

    def family(self, word: str = "") -> list[psutil.Process]:
        """Los procesos que cuelgan de él y llevan `word` en su orden; sin ella, todos."""
        found = []
        for each in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if word in " ".join(each.cmdline()) and "supervisor.py" not in " ".join(each.cmdline()[:3]):
                    found.append(each)
            except psutil.Error:
                continue
        return found

    def guards(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Se lo pide y devuelve cuánto tarda en irse."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(PATIENCE)
            assert self.process.stdout is not None
            self.process.stdout.close()
        return time.monotonic() - started


@contextmanager
def project(*arguments: str) -> Iterator[Project]:
    """`taller proyecto`, con sus opciones."""
    running = Project("-m", "taller", "proyecto", *arguments)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def project_in(folder: Path) -> Iterator[Project]:
    """El mismo, con sus datos en `folder` y los de ejemplo dentro."""
    running = Project("-c", SERVE, str(folder))
    try:
        yield running
    finally:
        running.stop()


def all_gone(processes: list[psutil.Process], seconds: float) -> bool:
    limit = time.monotonic() + seconds
    while not all(map(gone, processes)):
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True
