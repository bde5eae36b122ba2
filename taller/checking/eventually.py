"""Esperar a que algo que se puede mirar llegue a estar como debe, con plazo y un mensaje que lo explique."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

from taller.patience import patience
from taller.wire import Mismatch
from taller.wire.compare import show

LOOK_SECONDS = 0.01

T = TypeVar("T")


async def eventually(
    look: Callable[[], T | Awaitable[T]], accepts: Callable[[T], bool], expecting: str, within: float = 2.0
) -> T:
    """Lo primero que `look` devuelva y `accepts` acepte; se mira una y otra vez, hasta `within` segundos.

    Raises:
        Mismatch: no llega a aceptarse a tiempo. `expecting` dice qué se esperaba.
    """
    deadline = asyncio.get_running_loop().time() + patience(within)
    while True:
        looked = look()
        found: T = await looked if inspect.isawaitable(looked) else looked
        if accepts(found):
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise Mismatch(expecting, f"tras {within:g} s, {show(found)}")
        await asyncio.sleep(LOOK_SECONDS)
