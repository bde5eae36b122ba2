"""Paso 1: una función con `yield` es un flujo.

Di: «Una ruta SSE es una función que no devuelve: va entregando. Cada `yield` sale por el cable en ese momento.
FastAPI pone el tipo de contenido, convierte cada valor en JSON y lo enmarca: `data:`, y una línea en blanco.»
Enseña: `curl -N http://127.0.0.1:8000/events`, y al lado la consola de `/`. Abre dos pestañas: cada una tiene
su propia función en marcha y, por tanto, sus propios precios. Eso habrá que arreglarlo.
Minutos: 5
Arranca: uvicorn paso_1:app --reload --timeout-graceful-shutdown 1
"""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse

PERIOD = 0.5

app = FastAPI()


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# region flujo
@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[dict[str, float]]:
    price = 100.0
    while True:
        price = round(max(1.0, price + random.uniform(-1, 1)), 2)
        yield {"price": price}
        await asyncio.sleep(PERIOD)


# endregion
