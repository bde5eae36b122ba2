"""4.1 Primer flujo

El panel de una estación: alguien publica y todos los que miran lo ven al momento. Baja por SSE.

**`GET /events`** es el flujo, con el tipo de contenido que exige un navegador. Lleva tres clases de evento:

    event     data                                                      cuándo
    welcome   JSON: {"watching": 1}, cuántos miran, contándote a ti     nada más conectarte
    train     JSON: {"line": "C-2", "minutes": 4}                       con cada POST /trains
    notice    el texto del aviso, tal cual, sin comillas                con cada POST /notices

Un aviso puede tener varias líneas (y líneas en blanco, y sangrías): debe llegar igual, sin partirse en varios
eventos ni perder nada. Todos los que miran reciben lo mismo y en el mismo orden.

Si en `HEARTBEAT_SECONDS` segundos no hay nada que contar, el flujo lleva un comentario (una línea que
empieza por dos puntos; el texto da igual): sin él, un intermediario daría la conexión por muerta. Un latido
no es un evento y no estropea lo que viene detrás.

**`POST /trains`** `{"line": "C-2", "minutes": 4}` y **`POST /notices`** `{"text": "…"}` contestan 202. Ya
están hechos, y también `Board`, que reparte cada publicación entre quienes miran.

Variable de entorno: `HEARTBEAT_SECONDS` (15).

Ejemplo, en el cable:

    event: welcome
    data: {"watching": 1}

    event: train
    data: {"line": "C-2", "minutes": 4}

    event: notice
    data: Obras en la vía 3.
    data:
    data: Disculpen las molestias.

    : latido

"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

HEARTBEAT_SECONDS = float(os.environ.get("HEARTBEAT_SECONDS", "15"))

app = FastAPI(title="Panel de la estación")


class Train(BaseModel):
    line: str
    minutes: int


class Notice(BaseModel):
    text: str


class Board:
    """Reparte cada publicación entre quienes miran: una cola para cada uno."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[Train | Notice]] = set()

    @contextmanager
    def watch(self) -> Iterator[asyncio.Queue[Train | Notice]]:
        """La cola de quien empieza a mirar; al salir, se olvida."""
        queue: asyncio.Queue[Train | Notice] = asyncio.Queue()
        self.queues.add(queue)
        try:
            yield queue
        finally:
            self.queues.discard(queue)

    def publish(self, item: Train | Notice) -> None:
        for queue in self.queues:
            queue.put_nowait(item)


board = Board()


@app.post("/trains", status_code=202)
async def publish_train(train: Train) -> None:
    board.publish(train)


@app.post("/notices", status_code=202)
async def publish_notice(notice: Notice) -> None:
    board.publish(notice)


def to_event(item: Train | Notice) -> ServerSentEvent:
    """El evento SSE que cuenta una publicación."""
    # region TODO 1: Ponle su nombre (event). Un tren viaja como JSON; un aviso, como texto sin más. ¿Qué
    #   hace `data` con una cadena, y qué hace `raw_data`?
    #: return ServerSentEvent(data=str(item))
    if isinstance(item, Train):
        return ServerSentEvent(data=item, event="train")
    return ServerSentEvent(raw_data=item.text, event="notice")
    # endregion


async def next_event(queue: asyncio.Queue[Train | Notice]) -> ServerSentEvent:
    """El evento de la próxima publicación; o, si tarda más de HEARTBEAT_SECONDS, un comentario."""
    # region TODO 2: Espera la publicación con un plazo y, si vence, devuelve un latido.
    #: return to_event(await queue.get())
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            return to_event(await queue.get())
    except TimeoutError:
        return ServerSentEvent(comment="latido")
    # endregion


# region TODO 3: Haz de esta ruta un flujo SSE: di con qué clase de respuesta contesta, saluda con
#   «welcome» y entrega, sin fin, lo que dé next_event().
#: @app.get("/events")
#: async def events() -> dict[str, int]:
#:     return {"watching": len(board.queues)}
@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[ServerSentEvent]:
    with board.watch() as queue:
        yield ServerSentEvent(data={"watching": len(board.queues)}, event="welcome")
        while True:
            yield await next_event(queue)


# endregion
