"""`taller proyecto` en su proceso, para las pruebas: lo que dice, los procesos que tiene y cómo acaba."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from talking_process import Talking

from taller.services.supervisor import gone

# Con una carpeta de datos que no es la de quien prueba; lo demás, como la orden.
SERVE = """
import asyncio, sys
from pathlib import Path
from taller.cli.output import say
from taller.project.plan import Plan
from taller.project.serve import serve_project
asyncio.run(serve_project(Plan(data=Path(sys.argv[1]), processes=1), say, demo=True))
"""


class Project(Talking):
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
