"""Parar una app justo entre dos de sus órdenes a Redis: así una carrera que pasa una vez de cien pasa siempre."""

import contextlib
from collections.abc import AsyncIterator

from taller.checking.app import App
from taller.services import Valkey

# Dos peticiones que no tocan Redis: cuando contesta la segunda, la app ha seguido con lo que tenía entre manos.
KNOCKS = 2
DOOR = "/openapi.json"


async def let_it_go_on(app: App) -> None:
    """Vuelve cuando la app ha tenido ocasión de seguir hasta donde pueda sin que nadie le conteste."""
    for _ in range(KNOCKS):
        await app.get(DOOR, status=200, within=2.0)


@contextlib.asynccontextmanager
async def frozen_after(replies: int, app: App, server: Valkey) -> AsyncIterator[None]:
    """Durante el bloque la app está quieta: ha leído `replies` respuestas de Redis y no ha visto la siguiente.

    Hay que haber parado antes Redis (`server.pause()`) y pedido después a la app lo que se quiere partir.
    """
    async with server.client() as redis:
        for _ in range(replies + 1):
            server.pause()
            app.resume()
            await let_it_go_on(app)
            await app.pause()
            server.resume()
            # Redis contesta por orden de llegada: tras esta respuesta, la de la app ya está en su conexión.
            await redis.ping()
    try:
        yield
    finally:
        app.resume()
