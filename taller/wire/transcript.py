"""La transcripción de un control: quién envió qué a quién y cuándo.

Un proceso comprueba un control cada vez, así que basta una transcripción, que se vacía al empezar.
"""

import contextlib
import time
from collections.abc import Iterator

from taller.verdicts import Entry

MAX_TEXT = 400
MAX_ENTRIES = 400


class Transcript:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.started = time.perf_counter()
        self._muted = False

    def start(self) -> None:
        """Empieza de cero: lo hace el corredor antes de cada control."""
        self.entries = []
        self.started = time.perf_counter()

    def add(self, source: str, target: str, kind: str, text: str) -> None:
        """Apunta un mensaje; `kind` es http, ws, sse, close, log, redis, smtp, signal o note."""
        if self._muted:
            return
        if len(self.entries) < MAX_ENTRIES:
            self.entries.append(Entry(time.perf_counter() - self.started, source, target, kind, shorten(text)))
        elif len(self.entries) == MAX_ENTRIES:
            note = f"… y más: solo se guardan {MAX_ENTRIES} líneas"
            self.entries.append(Entry(time.perf_counter() - self.started, source, source, "note", note))

    def lead(self, source: str, target: str, kind: str, text: str) -> None:
        """Pone una línea al principio: lo que ya era así cuando empezó el control."""
        self.entries.insert(0, Entry(0.0, source, target, kind, shorten(text)))

    def note(self, text: str) -> None:
        """Lo que hace el control y no se ve en el cable: «arranca un segundo proceso»."""
        self.add("control", "control", "note", text)

    @contextlib.contextmanager
    def summarized(self, text: str) -> Iterator[None]:
        """Apunta solo `text`, y nada de lo que pase dentro: «200 clientes entran y se van»."""
        self.note(text)
        self._muted = True
        try:
            yield
        finally:
            self._muted = False


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """El principio de un texto largo y cuánto falta, para que quepa en una línea."""
    if len(text) <= limit:
        return text
    size = f"{len(text):,}".replace(",", ".")
    return f"{text[:limit]}… ({size} caracteres)"


transcript = Transcript()
