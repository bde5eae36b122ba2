"""Servidores uvicorn de verdad para las pruebas de las lecciones: puerto libre y plazos para todo."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
LISTENING = re.compile(r"Uvicorn running on (?:http://|unix socket )(\S+)")
START_DEADLINE = 20.0
STOP_DEADLINE = 10.0


@contextmanager
def serving(folder: Path, module: str, *options: str) -> Iterator[str]:
    """Arranca `module:app` desde su carpeta, como el estudiante, y da dónde escucha: «127.0.0.1:puerto».

    Al salir le manda SIGTERM y exige que acabe dentro de su plazo.
    """
    command = [sys.executable, "-m", "uvicorn", f"{module}:app", "--port", "0", *options]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    ) as server:
        try:
            yield listening_address(server)
            server.terminate()
            server.wait(STOP_DEADLINE)
        finally:
            server.kill()


def listening_address(server: subprocess.Popen[str]) -> str:
    assert server.stdout
    lines: SimpleQueue[str] = SimpleQueue()
    Thread(target=drain, args=(server.stdout, lines), daemon=True).start()
    limit, said = time.monotonic() + START_DEADLINE, ""
    while not (match := LISTENING.search(said)):
        try:
            said += lines.get(timeout=max(limit - time.monotonic(), 0))
        except Empty:
            raise AssertionError(f"el servidor no arrancó en {START_DEADLINE} s. Dijo:\n{said}") from None
    return match[1]


def drain(stream: IO[str], lines: SimpleQueue[str]) -> None:
    """Lee hasta el final, para que el servidor nunca se quede parado por escribir en su registro."""
    # Al salir, Popen cierra su lado aunque un nieto del servidor guarde el otro: leer entonces es un ValueError.
    with suppress(ValueError):
        for line in stream:
            lines.put(line)
