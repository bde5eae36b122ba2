"""Lo que tienen en común los dos servidores del experimento: sus mensajes y su trabajo."""

import asyncio

from pydantic import BaseModel

ORDER_SECONDS = 1.0
SAVE_SECONDS = 0.1


class NewMessage(BaseModel):
    n: int
    filling: str


class Queue(BaseModel):
    tab: str
    size: int


class Sizes(BaseModel):
    """Lo que espera en cada cola; `limit` es su tope, o None si no hay colas."""

    limit: int | None
    queues: list[Queue]


async def work() -> None:
    print("petición empezada", flush=True)
    await asyncio.sleep(ORDER_SECONDS)
    print("petición terminada", flush=True)


async def make_report() -> None:
    """Un informe que no acaba nunca; si lo cancelan, tarda un poco en guardar lo que lleva."""
    print("informe empezado", flush=True)
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(SAVE_SECONDS)
        print("informe guardado", flush=True)
