"""La puerta por la que entran los ejercicios: tantos a la vez como quepan sin estorbarse.

Los controles esperan mucho, así que comprobar varios a la vez cunde; pero también miden tiempos, y en una máquina llena
una app correcta llega tarde. Cuántos caben depende de cuáles sean y de qué más haga la máquina: se mira antes de abrir.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import psutil

# Un ejercicio gasta sobre todo al nacer: lo que se ve pasado este tiempo ya lo cuenta.
LOOK_SECONDS = 0.03
# La parte de los procesadores que tiene que estar libre para que entre otro.
SPARE = 0.1


class Gate:
    """Deja dentro a `most` como mucho, y a más de uno solo si queda procesador libre."""

    def __init__(self, most: int) -> None:
        self._places = asyncio.Semaphore(most)
        self._door = asyncio.Lock()
        self._inside = 0

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Espera a que se pueda entrar y, al acabar el bloque, sale."""
        async with self._places:
            async with self._door:
                while self._inside and await spare() < SPARE:
                    pass
                self._inside += 1
            try:
                yield
            finally:
                self._inside -= 1


async def spare() -> float:
    """Qué parte de los procesadores ha estado libre en los últimos `LOOK_SECONDS`, entre 0 y 1."""
    idle = psutil.cpu_times().idle
    started = asyncio.get_running_loop().time()
    await asyncio.sleep(LOOK_SECONDS)
    elapsed = asyncio.get_running_loop().time() - started
    return float(psutil.cpu_times().idle - idle) / elapsed / (os.cpu_count() or 1)
