"""El stream `orders` de 6.2, leído desde fuera."""

import asyncio
import json
from typing import Any

from taller.checking import Mismatch, expect, patience, transcript
from taller.services import Valkey


class Stream:
    """Lo que hay en el stream `orders`."""

    def __init__(self, server: Valkey) -> None:
        self.server = server

    async def events(self, repeats: bool = False) -> list[Any]:
        """Los sucesos publicados; con `repeats`, cada uno una vez, donde salió la primera."""
        async with self.server.client(decode_responses=True) as redis:
            entries: Any = await redis.xrange("orders")
        events = [self._event(fields) for _, fields in entries]
        return [event for index, event in enumerate(events) if not (repeats and event in events[:index])]

    @staticmethod
    def _event(fields: dict[str, str]) -> dict[str, Any]:
        try:
            event = json.loads(fields["event"])
        except (KeyError, ValueError):
            event = None
        if not isinstance(event, dict):
            raise Mismatch("entradas del stream `orders` con un JSON en su campo «event»", str(fields))
        return event

    async def becomes(self, expected: list[Any], what: str, within: float = 2.0, repeats: bool = False) -> None:
        """Espera a que haya tantos sucesos como se esperan, y los compara; con `repeats`, los repetidos no cuentan."""
        deadline = asyncio.get_running_loop().time() + patience(within)
        while len(found := await self.events(repeats)) < len(expected):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.005)
        transcript.add("Redis", "control", "redis", f"XRANGE orders - + → {len(found)} sucesos: {found}")
        expect(found, expected, what)

    async def tempted(self, within: float) -> list[Any]:
        """Los sucesos, en cuanto haya alguno; ninguno, si no lo hay tras `within` segundos."""
        deadline = asyncio.get_running_loop().time() + patience(within)
        found = await self.events()
        while not found and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.005)
            found = await self.events()
        return found
