"""Dos registros de lo mismo: frases sueltas, y objetos JSON con el identificador de su mensaje."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import structlog

Kind = Literal["naive", "right"]
Line = tuple[Kind, str]

_readers: set[asyncio.Queue[Line]] = set()


def show(kind: Kind, line: str) -> None:
    """Enseña una línea a quien esté mirando la página."""
    for reader in _readers:
        reader.put_nowait((kind, line))


async def follow() -> AsyncIterator[Line]:
    reader: asyncio.Queue[Line] = asyncio.Queue()
    _readers.add(reader)
    try:
        while True:
            yield await reader.get()
    finally:
        _readers.discard(reader)


def say(phrase: str) -> None:
    """El registro ingenuo: una frase, y nada que diga de qué mensaje habla."""
    show("naive", phrase)


class Recorder:
    """Donde acaba cada línea de structlog: en la salida estándar y en la página."""

    def msg(self, line: str) -> None:
        print(line, flush=True)
        show("right", line)

    debug = info = warning = error = msg


# region configurar
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ],
    logger_factory=lambda *_: Recorder(),
)
# endregion
log = structlog.get_logger()
