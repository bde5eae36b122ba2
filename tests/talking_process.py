"""Un proceso que habla mientras trabaja, para las pruebas: lo que dice, línea a línea, y cómo acaba."""

import contextlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from taller.catalog import ROOT

PATIENCE = 90.0


class Talking:
    """Python con esos argumentos, en marcha. `lines`: lo dicho hasta ahora, por sus dos salidas."""

    def __init__(self, *arguments: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            self._news.put(None)
        self._news.put(None)

    def until_it_says(self, text: str, seconds: float = PATIENCE) -> str:
        """La primera línea que contiene `text`. AssertionError si acaba, o pasa el plazo, sin decirlo."""
        limit = time.monotonic() + seconds
        while True:
            ended = not self._reader.is_alive()
            if found := [line for line in self.lines if text in line]:
                return found[0]
            left = limit - time.monotonic()
            assert left > 0 and not ended, f"no dice «{text}», sino {self.lines}"
            with contextlib.suppress(queue.Empty):
                self._news.get(timeout=left)

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Se lo pide, si sigue en marcha, y devuelve cuántos segundos tarda en irse."""
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
