"""El tablero en vivo: cada segundo, el estado de toda la instalación; a quien lee despacio, solo lo último."""

from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.sse import EventSourceResponse, ServerSentEvent

from plaza import metrics
from plaza.access import StreamUser
from plaza.resources import Plaza

router = APIRouter(tags=["tablero"])
RETRY_MS = 2000


@router.get("/events/dashboard", response_class=EventSourceResponse)
async def live(user: StreamUser, plaza: Plaza) -> AsyncIterator[ServerSentEvent]:
    with plaza.vitals.watch(user) as vitals:
        yield ServerSentEvent(retry=RETRY_MS, comment="conectado")
        # region TODO 32: Espera a que cambie y envía lo último; mientras un envío está parado, lo intermedio se salta.
        #: yield ServerSentEvent(event="metrics", data={})
        while not vitals.closed:
            await vitals.changed.wait()
            if not vitals.closed:
                yield ServerSentEvent(event="metrics", data=vitals.latest)
                metrics.delivered.labels("sse").inc()
        # endregion
