"""4.3 Barra de progreso

Una importación tarda; quien la pidió quiere verla avanzar. El trabajo es del servidor y los que miran son
visitas: vienen, se van y vuelven, y el trabajo sigue a lo suyo.

**`POST /imports`** `{"rows": ["12", "7", …]}` contesta 202 con `{"id": "…"}` y empieza a importar: una fila
cada `STEP_SECONDS` segundos, sumándolas. Una fila que no es un entero hace fallar la importación, y las
siguientes no se miran.

**`GET /imports/{id}`** (ya hecho) dice cómo va: `{"status": "running", "done": 3, "total": 10}`. `status` es
`running`, `done` o `failed`; `done`, las filas ya importadas.

**`GET /imports/{id}/events`** es el flujo SSE de esa importación:

    event       data                        cuándo
    progress    {"done": 3, "total": 10}    al conectarte, si está en marcha; y cada vez que avanza
    done        {"sum": 19}                 cuando termina bien
    failed      {"row": 4}                  cuando falla: el número de la fila, contando desde 1

- Tras `done` o `failed`, el servidor acaba el flujo. A quien llega cuando ya ha terminado se le da
  directamente.
- Cualquiera puede mirar, a la vez y desde cualquier momento: todos ven el mismo trabajo. Un mirón lento puede
  saltarse pasos, pero nunca ve retroceder `done`.
- Que alguien deje de mirar termina su flujo, no la importación. Volver no la empieza de nuevo.
- Cada evento lleva su `id`. El navegador vuelve solo también cuando el servidor acaba el flujo: si trae en
  `Last-Event-ID` el `id` del evento final, ya lo sabe todo, y se le contesta 204 para que no vuelva más.
- Una importación que no existe se contesta con 404, antes de empezar ningún flujo.

Variable de entorno: `STEP_SECONDS` (1).

Ejemplo, con la importación de `["12", "7"]`:

    event: progress
    id: 0
    data: {"done": 0, "total": 2}

    event: progress
    id: 1
    data: {"done": 1, "total": 2}

    event: done
    id: end
    data: {"sum": 19}

"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

STEP_SECONDS = float(os.environ.get("STEP_SECONDS", "1"))
END_ID = "end"

app = FastAPI(title="Barra de progreso")


class Rows(BaseModel):
    rows: list[str]


class Started(BaseModel):
    id: str


class Progress(BaseModel):
    status: Literal["running", "done", "failed"]
    done: int
    total: int


class Import:
    """Una importación: lo que lleva hecho y una señal para quienes la miran."""

    def __init__(self, rows: list[str]) -> None:
        self.id = secrets.token_hex(8)
        self.rows = rows
        self.sum = 0
        self.progress = Progress(status="running", done=0, total=len(rows))
        self.changed = asyncio.Event()

    def announce(self) -> None:
        """Despierta a quienes esperan `changed`; los siguientes esperan otra señal nueva."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Importa fila a fila y anuncia cada cambio; un fallo también es un final que hay que anunciar."""
        # region TODO 1: Suma las filas con una pausa de STEP_SECONDS en cada una; al acabar, cambia el
        #   status.
        #: self.announce()
        try:
            for row in self.rows:
                await asyncio.sleep(STEP_SECONDS)
                self.sum += int(row)
                self.progress.done += 1
                self.announce()
            self.progress.status = "done"
        except ValueError:
            self.progress.status = "failed"
        self.announce()
        # endregion

    def progress_event(self) -> ServerSentEvent:
        data = self.progress.model_dump(include={"done", "total"})
        return ServerSentEvent(event="progress", id=str(self.progress.done), data=data)

    def final_event(self) -> ServerSentEvent:
        if self.progress.status == "done":
            return ServerSentEvent(event="done", id=END_ID, data={"sum": self.sum})
        return ServerSentEvent(event="failed", id=END_ID, data={"row": self.progress.done + 1})


imports: dict[str, Import] = {}
running: set[asyncio.Task[None]] = set()


@app.post("/imports", status_code=202)
async def start(body: Rows) -> Started:
    job = Import(body.rows)
    # region TODO 2: Apúntala en `imports` y ponla en marcha en una tarea suya. asyncio no conserva las
    #   tareas: guárdala en `running` hasta que acabe.
    #: await job.run()
    imports[job.id] = job
    task = asyncio.create_task(job.run())
    running.add(task)
    task.add_done_callback(running.discard)
    # endregion
    return Started(id=job.id)


def known_import(job_id: str) -> Import:
    if job_id not in imports:
        raise HTTPException(404, "No existe esa importación")
    return imports[job_id]


@app.get("/imports/{job_id}")
async def status(job: Annotated[Import, Depends(known_import)]) -> Progress:
    return job.progress


def import_to_watch(job_id: str, last_event_id: Annotated[str | None, Header()] = None) -> Import:
    """La importación que se va a mirar; si no hay nada que mirar, la HTTPException que lo dice."""
    # region TODO 3: 404 si no existe; 204 si ha terminado y este cliente ya vio el evento final.
    #: return imports.get(job_id, Import([]))
    job = known_import(job_id)
    if job.progress.status != "running" and last_event_id == END_ID:
        raise HTTPException(204)
    return job
    # endregion


@app.get("/imports/{job_id}/events", response_class=EventSourceResponse)
async def watch(job: Annotated[Import, Depends(import_to_watch)]) -> AsyncIterator[ServerSentEvent]:
    # region TODO 4: Mientras esté en marcha, entrega job.progress_event() y espera el cambio siguiente; al
    #   final, job.final_event(). ¿Y si cambia mientras estás entregando?
    #: yield ServerSentEvent(event="progress", data={"done": 0})
    while job.progress.status == "running":
        changed = job.changed
        yield job.progress_event()
        await changed.wait()
    yield job.final_event()
    # endregion
