"""Lo que se puede decir de unos bytes que pasan: cuántas peticiones van en ellos y qué se puede leer."""

from dataclasses import dataclass

from pydantic import BaseModel

END_OF_HEAD = b"\r\n\r\n"
KEPT = 400


class Reading(BaseModel):
    """Lo que ha cruzado desde que se abrió el puerto: `up` sube al servidor, `down` baja de él."""

    connections: int = 0
    open: int = 0
    requests: int = 0
    up: int = 0
    down: int = 0
    last_up: str = ""
    last_down: str = ""


@dataclass(slots=True)
class Heads:
    """Cuenta las peticiones que suben por una conexión: las cabeceras de cada una acaban en línea en blanco."""

    _head: bytes = b""
    _upgraded: bool = False

    def feed(self, data: bytes) -> int:
        if self._upgraded:  # ya no suben peticiones, sino tramas
            return 0
        self._head += data
        count = 0
        while not self._upgraded and END_OF_HEAD in self._head:
            head, _, self._head = self._head.partition(END_OF_HEAD)
            self._upgraded = b"\r\nupgrade: websocket" in head.lower()
            count += 1
        return count


@dataclass(slots=True)
class Glimpse:
    """El principio y el final de lo que cruza: de un flujo que no termina no se guarda más."""

    _first: bytes = b""
    _last: bytes = b""

    def add(self, data: bytes) -> None:
        missing = KEPT - len(self._first)
        self._first += data[:missing]
        self._last = (self._last + data[missing:])[-KEPT:]

    def __str__(self) -> str:
        gap = "\n…\n" if len(self._last) == KEPT else ""
        return readable(self._first) + gap + readable(self._last)


def readable(data: bytes) -> str:
    """Los bytes como texto; los que no se pueden leer, en hexadecimal: la cabecera de una trama, por ejemplo."""
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)
