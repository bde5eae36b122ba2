"""El servidor correcto del experimento: se le conectan pestañas, se le congelan y se le apaga."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connections import QUEUE_SIZE, Manager, serve
from fastapi import FastAPI, WebSocket
from sse_starlette import EventSourceResponse, ServerSentEvent
from work import NewMessage, Queue, Sizes, make_report, work

manager = Manager()
reports: set[asyncio.Task[None]] = set()
GRACE_SECONDS = 1.0


# region apagar
@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Lo de detrás del yield se ejecuta cuando ya no queda ninguna conexión, y todavía hay bucle de eventos."""
    try:
        yield
    finally:
        for report in reports:
            report.cancel()
        if reports:
            await asyncio.wait(reports, timeout=GRACE_SECONDS)
        print("recursos cerrados", flush=True)


# endregion

app = FastAPI(lifespan=lifespan)


@app.websocket("/ws/{user}")
async def tab(websocket: WebSocket, user: str, id: str) -> None:
    """`id` es lo que el cliente dice llamarse: aquí no sirve de clave, solo de nombre."""
    await serve(manager, websocket, user, id)


@app.post("/users/{user}/messages", status_code=202)
async def send(user: str, message: NewMessage) -> None:
    manager.send(user, {"type": "message", **message.model_dump()})


@app.get("/queues/{user}")
async def queues(user: str) -> Sizes:
    connections = manager.users.get(user, {}).values()
    return Sizes(limit=QUEUE_SIZE, queues=[Queue(tab=one.tab, size=one.outbox.qsize()) for one in connections])


# region flujo
@app.get("/events")
async def events() -> EventSourceResponse:
    return EventSourceResponse(ticks())


async def ticks() -> AsyncIterator[ServerSentEvent]:
    try:
        while True:
            yield ServerSentEvent(event="tick", data="{}")
            await asyncio.sleep(1)
    finally:
        print("flujo cerrado", flush=True)


# endregion


@app.post("/orders", status_code=201)
async def order() -> None:
    await work()


@app.post("/reports", status_code=202)
async def report() -> None:
    task = asyncio.create_task(make_report())
    reports.add(task)
    task.add_done_callback(reports.discard)
