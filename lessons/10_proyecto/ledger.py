"""El libro de cuentas: qué se ha dicho, qué tiene recibo y qué ha visto cada lector. No se fía de nadie.

Una frase se reconoce por lo que dice («ana 17»), no por los números que le ponga Plaza: si apareciera dos veces con
identidades distintas, aquí sería un duplicado.
"""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import BaseModel

NEWS = 60


class ReaderState(BaseModel):
    """Las cuentas de un lector; `delay_ms`, lo que tardó la más lenta desde la última vez que se miró."""

    name: str
    careful: bool
    process: str | None
    stalled: bool
    received: int
    coming: int
    lost: int
    duplicated: int
    disordered: int
    returns: int
    delay_ms: float | None


# region lectura
@dataclass
class Reading:
    """Lo que ha visto un lector desde que entró en la sala, en `start`. `owed`: con recibo y sin ver, y su número."""

    start: int | None = None
    seen: set[str] = field(default_factory=set)
    owed: dict[str, int] = field(default_factory=dict)
    last: int = 0
    duplicated: int = 0
    disordered: int = 0
    delay: float | None = None

    def see(self, phrase: str, seq: int) -> None:
        self.duplicated += phrase in self.seen
        self.disordered += seq < self.last
        self.seen.add(phrase)
        self.owed.pop(phrase, None)
        self.last = max(self.last, seq)

    @property
    def lost(self) -> int:
        """Con recibo, sin ver, y ya ha visto otra posterior: no vendrá."""
        return sum(seq < self.last for seq in self.owed.values())

    @property
    def coming(self) -> int:
        return len(self.owed) - self.lost


# endregion


class Ledger:
    def __init__(self, readers: Iterable[str]) -> None:
        self.readings = {name: Reading() for name in readers}
        self.said: dict[str, float] = {}
        self.acknowledged = 0
        self.news: deque[tuple[int, float, str]] = deque(maxlen=NEWS)
        self._serial = 0

    def enter(self, reader: str, seq: int) -> None:
        """Alguien entra en la sala por primera vez: de lo anterior a `seq` no se le debe nada."""
        reading = self.readings[reader]
        if reading.start is None:
            reading.start = seq

    def say(self, phrase: str) -> None:
        """Alguien va a decir una frase; repetirla no es decir otra."""
        self.said.setdefault(phrase, time.monotonic())

    def acknowledge(self, phrase: str, seq: int) -> None:
        if phrase not in self.said:
            return
        self.acknowledged += 1
        for reading in self.readings.values():
            if reading.start is not None and seq > reading.start and phrase not in reading.seen:
                reading.owed[phrase] = seq

    def see(self, reader: str, phrase: str, seq: int) -> None:
        """Alguien ha visto una frase. Las que no son de los robots, o son de otra cuenta, no se apuntan."""
        if phrase in self.said:
            reading = self.readings[reader]
            reading.see(phrase, seq)
            reading.delay = max(reading.delay or 0.0, time.monotonic() - self.said[phrase])

    def note(self, text: str) -> None:
        """Apunta algo que ha pasado, para contarlo en la página."""
        self._serial += 1
        self.news.append((self._serial, time.time(), text))

    def forget(self) -> None:
        """Empieza otra cuenta: lo dicho hasta ahora ni se espera ni se apunta si llega."""
        self.said, self.acknowledged = {}, 0
        self.readings = {name: Reading(reading.start) for name, reading in self.readings.items()}
