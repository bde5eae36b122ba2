"""8.3 Flujos SSE que se pueden medir, en varios procesos

Un servidor de avisos por SSE, ya escrito, que se ejecuta en varios procesos detrás de un mismo puerto.
Prometheus pregunta por ese puerto y le contesta uno cualquiera: lo que conteste tiene que ser lo de **todos**,
y no lo suyo.

**`GET /events`** es un flujo SSE. **`POST /events`** con `{"event": "price", "text": "21"}` envía ese evento,
con los datos `{"text": "21"}`, a los flujos del proceso que lo recibe; `event` es `price` o `news`. Contesta
202.
**`POST /end`** acaba los flujos de ese proceso. Contesta 202.

**`GET /metrics`**, en cualquiera de los procesos:

- `sse_streams` (gauge): flujos abiertos ahora, entre todos los procesos **vivos**.
- `sse_events_total{event}` (counter): eventos enviados: uno que va a tres flujos son tres. Lo que envió un
  proceso que ha muerto se envió igual, y sigue contando.
- `sse_disconnections_total{reason}` (counter): flujos acabados. `reason` es `client` si se fue el cliente, con
  despedida o sin ella, y `server` si los acabó `POST /end`.

Cada serie existe desde el principio con 0. Ninguna lleva el pid ni nada más que lo dicho.

Los procesos comparten la carpeta `PROMETHEUS_MULTIPROC_DIR`, donde prometheus_client escribe lo de cada uno en
archivos con su pid: `counter_41.db`, `gauge_livesum_41.db`. De un proceso que muere de golpe (`kill -9`) queda
su `gauge_livesum_41.db`, que nadie borra por ti, y sus flujos seguirían contando. Sin esa variable, cada
proceso lleva sus cuentas en memoria y basta con el registro de siempre.

Variable de entorno: `PROMETHEUS_MULTIPROC_DIR` (ninguna: un solo proceso).

Ejemplo, con dos flujos en el proceso A y uno en el B:

    GET /metrics  →  A          GET /metrics  →  B          kill -9 a A; GET /metrics  →  B
    sse_streams 3.0             sse_streams 3.0             sse_streams 1.0
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import psutil
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")

Name = Literal["price", "news"]
REASONS = ("client", "server")

# region TODO 1: Las tres métricas, y sus series a cero. multiprocess_mode dice qué se hace con el gauge de cada
#   proceso: «livesum» los suma, y deja fuera a quien mark_process_dead(pid) haya dado por muerto.
#:
STREAMS = Gauge("sse_streams", "Flujos SSE abiertos ahora.", multiprocess_mode="livesum")
EVENTS = Counter("sse_events_total", "Eventos enviados por SSE.", ["event"])
DISCONNECTIONS = Counter("sse_disconnections_total", "Flujos SSE acabados.", ["reason"])
for name in get_args(Name):
    EVENTS.labels(name)
for reason in REASONS:
    DISCONNECTIONS.labels(reason)
# endregion

app = FastAPI(title="Flujos SSE que se pueden medir")


class Event(BaseModel):
    event: Name
    text: str


Mailbox = asyncio.Queue[Event | None]  # None: se acabó
mailboxes: set[Mailbox] = set()


@app.post("/events", status_code=202)
async def publish(event: Event) -> None:
    for mailbox in mailboxes:
        mailbox.put_nowait(event)


@app.post("/end", status_code=202)
async def end() -> None:
    for mailbox in mailboxes:
        mailbox.put_nowait(None)


@contextmanager
def new_mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    mailboxes.add(mailbox)
    try:
        yield mailbox
    finally:
        mailboxes.discard(mailbox)


async def stream() -> AsyncIterator[ServerSentEvent]:
    """Los eventos de un flujo, hasta que lo acabe el servidor o se vaya su cliente (que lo cancela)."""
    with new_mailbox() as mailbox:
        # region TODO 2: Cuenta el flujo mientras dure, cada evento que entrega y, al acabar, por qué ha acabado.
        #: while event := await mailbox.get():
        #:     yield to_sse(event)
        reason = "client"
        with STREAMS.track_inprogress():
            try:
                while event := await mailbox.get():
                    yield to_sse(event)
                    EVENTS.labels(event.event).inc()
                reason = "server"
            finally:
                DISCONNECTIONS.labels(reason).inc()
        # endregion


def to_sse(event: Event) -> ServerSentEvent:
    return ServerSentEvent(event=event.event, data=json.dumps({"text": event.text}, ensure_ascii=False))


@app.get("/events")
async def events() -> EventSourceResponse:
    return EventSourceResponse(stream())


def forget_the_dead(folder: Path) -> None:
    """Deja de contar los flujos de los procesos que ya no existen."""
    # region TODO 3: Cada gauge_live*_{pid}.db es de un proceso: si ya no vive (psutil.pid_exists), mark_process_dead.
    #   Es solo para gauges: un contador que baja es un contador que miente.
    #:
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, str(folder))
    # endregion


@app.get("/metrics")
def metrics() -> Response:
    # region TODO 4: Con FOLDER, un CollectorRegistry nuevo con un MultiProcessCollector, después de olvidar a los
    #   muertos. Sin ella, el registro de siempre.
    #: return Response(generate_latest(CollectorRegistry()), media_type=CONTENT_TYPE_LATEST)
    registry = REGISTRY
    if FOLDER:
        forget_the_dead(Path(FOLDER))
        registry = CollectorRegistry()
        MultiProcessCollector(registry, FOLDER)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
    # endregion
