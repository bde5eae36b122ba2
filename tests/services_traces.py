"""Lo que las pruebas de los servicios miran fuera de ellos: procesos, ficheros y un dueño al que matar."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil

from taller.services import supervisor
from taller.services.server import Server

ROOT = Path(__file__).parents[1]
OWNER = """
import asyncio, json, os, sys
from pathlib import Path
from taller.services import valkey, postgres

async def main():
    directory = Path(sys.argv[2]) if sys.argv[2] else None
    async with {"valkey": valkey, "postgres": postgres}[sys.argv[1]](directory) as server:
        if "pausa" in sys.argv:
            server.pause()
        if "fork" in sys.argv and os.fork() == 0:
            await asyncio.Event().wait()
        print(json.dumps({"pid": server._process.pid, "url": server.url}), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def until(condition: Callable[[], bool], seconds: float = 8) -> None:
    """Espera a que se cumpla `condition`; AssertionError si no llega a tiempo."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"en {seconds} s no se cumplió"
        await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Traces:
    """Lo que un servidor tiene mientras vive: sus procesos, con su vigilante, y su carpeta."""

    processes: list[psutil.Process]
    scratch: Path

    @classmethod
    def at(cls, url: str, pid: int) -> "Traces":
        parts = urlsplit(url)
        scratch = Path(parse_qs(parts.query).get("host", [str(Path(parts.path).parent)])[0])
        return cls([psutil.Process(pid).parent(), *supervisor.process_tree(pid)], scratch)

    @classmethod
    def of(cls, server: Server) -> "Traces":
        assert server._process
        assert server._process.pid
        return cls.at(server.url, server._process.pid)

    def vanished(self) -> bool:
        return all(map(supervisor.gone, self.processes)) and not self.scratch.exists()


def abandoned_memory() -> set[str]:
    """La memoria compartida que nadie usa: segmentos System V y ficheros de PostgreSQL.

    Los que usa alguien son de otro servidor en marcha, quizá de otra prueba.
    """
    kernel = Path("/proc/sysvipc/shm")
    lines = [line.split() for line in kernel.read_text().splitlines()[1:]] if kernel.exists() else []
    segments = {identifier for _, identifier, _, _, _, _, attached, *_ in lines if attached == "0"}
    files = {str(path) for path in Path("/dev/shm").glob("PostgreSQL.*")}
    return segments | {path for path in files if not _mapped(path)}


def _mapped(path: str) -> bool:
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            if path in maps.read_text():
                return True
    return False


async def nothing_abandoned_since(before: set[str]) -> None:
    """Otro servidor que está naciendo o muriendo puede dejar la suya sin usar un instante: se le da un poco."""
    await until(lambda: abandoned_memory() <= before)


@contextmanager
def owner(service: str, directory: Path | str = "", *options: str) -> Iterator[tuple[subprocess.Popen[str], Traces]]:
    """Otro proceso, con un servidor en marcha, para matarlo."""
    argv = [sys.executable, "-c", OWNER, service, str(directory), *options]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout
        yield process, Traces.at(**json.loads(process.stdout.readline()))
    finally:
        # El grupo entero: también el fork que alguna prueba deja con la tubería abierta.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)


def let_nobody_through(path: Path) -> None:
    """Abre el paso a «nobody», que corre PostgreSQL si somos root, por las carpetas de pruebas que llevan a `path`."""
    for folder in (path, *path.parents):
        if folder != Path(tempfile.gettempdir()) and folder.stat().st_uid == os.getuid() and folder.parent != folder:
            folder.chmod(folder.stat().st_mode | 0o111)
