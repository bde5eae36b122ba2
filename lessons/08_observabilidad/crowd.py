"""Los visitantes: cuántos hay, a qué ritmo hablan y cómo se van. Lo que ellos saben es la verdad."""

import asyncio
import itertools
import json
import random
from contextlib import suppress
from typing import Literal

from visitor import Farewell, Truth, Visitor, arrive, passing_by
from websockets.exceptions import ConnectionClosed

SLOW_EVERY = 10


class Crowd:
    def __init__(self) -> None:
        self.truth = Truth()
        self.visitors: list[Visitor] = []
        self.url = ""
        self.rate, self.slow = 0, 0.0
        self._turn = asyncio.Lock()
        self._awake = asyncio.Event()

    async def become(self, people: int, farewell: Farewell) -> None:
        """Entran o salen los que haga falta para que sean `people`."""
        async with self._turn:
            while len(self.visitors) < people:
                self.visitors.append(await arrive(self.url, self.truth))
            while len(self.visitors) > people:
                await self.visitors.pop().leave(farewell)
                self.truth.open -= 1

    async def freeze_one(self) -> bool:
        """Uno de los que hay deja de leer; False si no hay ninguno que pueda."""
        async with self._turn:
            awake = [visitor for visitor in self.visitors if not visitor.frozen]
            if awake:
                await awake[0].freeze()
            return bool(awake)

    async def spoil(self, count: int, kind: Literal["invalid", "server"]) -> None:
        """`count` visitantes de paso que envían basura, o que hacen fallar al servidor."""
        text = "esto no es JSON" if kind == "invalid" else json.dumps({"text": "", "fail": True})
        for _ in range(count):
            async with passing_by(self.url, self.truth) as visitor:
                await visitor.spoil(text)
            setattr(self.truth, kind, getattr(self.truth, kind) + 1)

    async def ask_for_tasks(self, texts: list[str]) -> None:
        """Un mensaje con tarea por cada texto, todos a la vez, cada uno por su conexión."""

        async def one(text: str) -> None:
            async with passing_by(self.url, self.truth) as visitor:
                await visitor.say(text=text, task=True)
            self.truth.polite += 1

        await asyncio.gather(*map(one, texts))

    def set_pace(self, rate: int, slow: float) -> None:
        """Mensajes por segundo entre todos, y los segundos que tarda en contestarse uno de cada diez."""
        self.rate, self.slow = rate, slow
        if rate:
            self._awake.set()
        else:
            self._awake.clear()

    async def talk(self) -> None:
        """Hablan por su cuenta, al ritmo que se les diga, mientras dure la mini-app."""
        async with asyncio.TaskGroup() as talking:
            for turn in itertools.count():
                await self._awake.wait()
                idle = [visitor for visitor in self.visitors if visitor.idle]
                if idle:
                    wait = self.slow if turn % SLOW_EVERY == 0 else random.uniform(0.002, 0.008)
                    talking.create_task(say(random.choice(idle), wait))
                await asyncio.sleep(1 / max(self.rate, 1))

    async def close(self) -> None:
        for visitor in self.visitors:
            visitor.connection.transport.abort()


async def say(visitor: Visitor, wait: float) -> None:
    with suppress(ConnectionClosed, TimeoutError):
        await visitor.say(text="hola", wait=wait)
