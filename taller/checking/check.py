"""`@check`: un control con número, puntos, pistas y plazo; `expect`: una comparación que enseña."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from taller.checking.app import note_logs, slips
from taller.patience import patience
from taller.wire import Mismatch, difference, transcript
from taller.wire.compare import show

CheckFunction = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class CheckInfo:
    """Lo que un control dice de sí mismo.

    `todo` es el TODO del enunciado al que pertenece; `hints`, de menos a más reveladoras; `section`, el
    ancla de la lección que lo explica; `needs`, los controles sin los que este no dice nada.
    """

    number: int
    title: str
    points: int
    todo: int | None
    hints: tuple[str, ...]
    section: str
    needs: tuple[str, ...]
    name: str


def check(
    number: int,
    title: str,
    *,
    hints: tuple[str, ...],
    section: str,
    todo: int | None = None,
    points: int = 1,
    needs: tuple[str, ...] = (),
    within: float = 5.0,
) -> Callable[[CheckFunction], CheckFunction]:
    """Convierte una corrutina en un control; `within` es su plazo total, en segundos."""

    def decorate(function: CheckFunction) -> CheckFunction:
        @functools.wraps(function)
        async def run(**fixtures: Any) -> None:
            transcript.start()
            try:
                await _within(within, function(**fixtures))
            except BaseException as error:
                if isinstance(error, Mismatch):
                    error.received = "; ".join([error.received, *(s for s in await slips() if s not in error.received)])
                await note_logs()
                raise

        run.check = CheckInfo(number, title, points, todo, hints, section, needs, function.__name__)  # type: ignore[attr-defined]  # el plugin lo lee de la función
        marked: CheckFunction = pytest.mark.anyio(run)
        return marked

    return decorate


async def _within(seconds: float, running: Awaitable[None]) -> None:
    deadline = asyncio.timeout(patience(seconds))
    try:
        async with deadline:
            await running
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise Mismatch(f"que el control termine en {seconds:g} s", "sigue a medias") from error


def expect(received: Any, expected: Any, what: str) -> None:
    """Compara `received` con `expected`; `what` dice qué es («el código de la segunda respuesta»).

    Raises:
        Mismatch: no coinciden.
    """
    found = difference(expected, received)
    if found == f"{show(expected)} y no {show(received)}":
        raise Mismatch(f"{what}: {show(expected)}", show(received))
    if found:
        raise Mismatch(f"{what}: {show(expected)}", f"{show(received)} (se esperaba {found})")
