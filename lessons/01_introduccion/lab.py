"""Un laboratorio por página: cuatro contadores que viven lo que vive el flujo que cuenta lo que han contado."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from meter import Address, Meter
from sse_starlette import EventSourceResponse, ServerSentEvent

PANES = ("poll", "long", "sse", "ws")
MAX_LABS = 32
EVERY = 0.25

router = APIRouter()
open_labs: set[object] = set()


@router.get("/api/lab")
async def lab(request: Request) -> EventSourceResponse:
    """Abre los cuatro puertos y, cada cuarto de segundo, dice lo que ha cruzado por ellos; al irse, se cierran."""
    if len(open_labs) >= MAX_LABS:
        raise HTTPException(503, f"ya hay {MAX_LABS} páginas midiendo; cierra alguna y recarga")
    # sse-starlette y no `fastapi.sse`: cierra el flujo al apagar el servidor, y Ctrl+C no se queda esperando.
    return EventSourceResponse(readings(request.scope["server"]))


async def readings(upstream: Address) -> AsyncIterator[ServerSentEvent]:
    mine = object()
    open_labs.add(mine)
    try:
        async with AsyncExitStack() as stack:
            meters = {name: await stack.enter_async_context(Meter(upstream).listening()) for name in PANES}
            yield event("ports", {name: meter.port for name, meter in meters.items()})
            while True:
                counts = {name: meter.reading().model_dump() for name, meter in meters.items()}
                yield event("reading", {"at": time.time(), **counts})
                await asyncio.sleep(EVERY)
    finally:
        open_labs.discard(mine)


def event(name: str, data: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(data, ensure_ascii=False), event=name)
