"""Paso 1: contestar ya, trabajar después.

Di: «202: aceptado, no hecho. `add_task` apunta la función y sus argumentos; cuando la respuesta ya ha salido, Starlette
la ejecuta en este mismo proceso. No hay más: ni cola, ni otro proceso, ni memoria de lo apuntado.»
Enseña: lanza una de 3 segundos: el 202 es inmediato y el «hecha» sale después en la terminal. Lánzala otra vez y mata
el servidor con `kill -9` antes de que acabe: no sale nunca.
Minutos: 6
Arranca: uvicorn paso_1:app --reload
"""

import asyncio
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field


class Order(BaseModel):
    """Lo que pide el cliente."""

    seconds: Annotated[float, Field(gt=0, le=60)] = 1.0


class Task(Order):
    """Una tarea aceptada."""

    id: str


# region segundo plano
async def wait(task: Task) -> None:
    await asyncio.sleep(task.seconds)
    print("hecha", task.id, flush=True)


app = FastAPI(title="Tareas en segundo plano")


@app.post("/tasks", status_code=202)
async def submit(order: Order, background: BackgroundTasks) -> Task:
    task = Task(id=uuid4().hex[:8], **order.model_dump())
    background.add_task(wait, task)
    return task


# endregion


@app.get("/ping")
async def ping() -> dict[str, bool]:
    return {"pong": True}


# region página
@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# endregion
