"""Un portal de verdad, en su proceso y sobre una copia del curso, para las pruebas."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import connect_sse
from talking_process import PATIENCE, Talking

SERVE = """
import asyncio, sys
from pathlib import Path
from taller.portal import serve_portal
asyncio.run(serve_portal(int(sys.argv[2]), lambda url: print(url, flush=True), Path(sys.argv[1])))
print("fin", flush=True)
"""
Data = dict[str, Any]


class Portal(Talking):
    def __init__(self, root: Path, port: int = 0) -> None:
        self.root = root
        super().__init__("-c", SERVE, str(root), str(port))
        try:
            self.url = self.until_it_says("http://127.0.0.1:").rstrip("/")
        except AssertionError:
            super().stop()
            raise
        self.port = int(self.url.rpartition(":")[2])
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE)

    def stop(self, number: int = signal.SIGTERM) -> float:
        self.http.close()
        return super().stop(number)

    def student_file(self, exercise: str = "e1_eco") -> Path:
        return self.root / "exercises" / "02_websockets" / f"{exercise}.py"

    def solution(self, exercise: str = "e1_eco") -> str:
        return (self.root / "solutions" / "02_websockets" / f"{exercise}.py").read_text(encoding="utf-8")

    def progress(self) -> Data:
        path = self.root / ".taller" / "progreso.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))["exercises"])

    @contextmanager
    def events(self, **query: str) -> Iterator["Events"]:
        with connect_sse(self.http, "GET", "/api/events", params=query) as source:
            yield Events((event.event, json.loads(event.data)) for event in source.iter_sse())


class Events:
    """Los sucesos según llegan; `seen` guarda todos los leídos."""

    def __init__(self, source: Iterator[tuple[str, Data]]) -> None:
        self._source = source
        self.seen: list[tuple[str, Data]] = []

    def until(self, name: str, accepts: Callable[[Data], bool] = lambda data: True) -> Data:
        for event, data in self._source:
            self.seen.append((event, data))
            if event == name and accepts(data):
                return data
        raise AssertionError(f"el flujo terminó sin «{name}»; llegó {[event for event, _ in self.seen]}")


@contextmanager
def portal_on(root: Path) -> Iterator[Portal]:
    portal = Portal(root)
    try:
        yield portal
    finally:
        if portal.process.poll() is None:
            portal.stop()


def refused(url: str) -> bool:
    """Si ya no hay nadie en esa dirección."""
    try:
        httpx.get(url, timeout=2)
    except httpx.TransportError:
        return True
    return False
