"""9.1 Gestor de conexiones

Ana tiene la página abierta en el portátil, en el móvil y en una pestaña olvidada que el navegador ha congelado. Escribe
el gestor que le hace llegar cada mensaje a todas, sin que la congelada moleste a nadie.

**`/ws/{user}?tab=móvil`** es una conexión de esa persona. `tab` es un nombre que pone el cliente para entenderse: puede
faltar y puede repetirse. Lo primero que recibe la conexión es la clave que le ha puesto el servidor, distinta siempre:

    {"type": "welcome", "id": "9f2c…", "tab": "móvil"}

Lo que el cliente envíe se lee y se ignora.

**`POST /users/{user}/messages`** recibe `{"data": …}`, con cualquier valor JSON, y contesta 202 con `{"queued": 3}`: en
cuántas conexiones suyas lo ha dejado para enviar. Cada una recibe `{"type": "message", "data": …}`, en el orden de los
POST. Contesta sin esperar a que nadie lea.

Cada conexión tiene una cola de `QUEUE_SIZE` mensajes y una tarea, su emisor, que los envía:

- quien deja de leer un rato y vuelve a tiempo recibe todo lo que quedó en su cola, en orden;
- si un envío pasa de `SEND_SECONDS`, o llega un mensaje y no cabe en la cola, esa conexión se **desaloja**: deja de
  contar y se cierra con el código 1013 (si la trama de cierre tampoco sale en `SEND_SECONDS`, se corta). Lo que llegó a
  recibir es un principio de lo enviado, sin huecos;
- quien no lee solo se perjudica a sí mismo: ni los POST, ni otras conexiones, sean de quien sean, esperan por él.

Cuando una conexión se va, tarde lo que tarde en saberse, las otras siguen igual, aunque lleven el mismo `tab`. De quien
se fue no queda nada: ni entradas en los diccionarios ni tareas.

**`GET /stats`** ya está escrito: personas y conexiones apuntadas, desalojos desde el principio y tareas del proceso.

Variables de entorno: `QUEUE_SIZE` (100) y `SEND_SECONDS` (5).

Ejemplo, con dos conexiones de Ana:

    POST /users/ana/messages {"data": {"n": 1}}      202 {"queued": 2}
        a las dos                                    ← {"type": "message", "data": {"n": 1}}
    POST /users/nadie/messages {"data": "hola"}      202 {"queued": 0}
    GET /stats                                       200 {"users": 1, "connections": 2, "evicted": 0, "tasks": 11}
"""

import asyncio
import os
from contextlib import suppress
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel

QUEUE_SIZE = int(os.environ.get("QUEUE_SIZE", "100"))
SEND_SECONDS = float(os.environ.get("SEND_SECONDS", "5"))

TRY_AGAIN_LATER = 1013

app = FastAPI(title="Gestor de conexiones")


class NewMessage(BaseModel):
    data: Any


class Queued(BaseModel):
    queued: int


class Stats(BaseModel):
    users: int
    connections: int
    evicted: int
    tasks: int


class Connection:
    """Una conexión: su WebSocket, su cola y la señal de que va demasiado atrasada."""

    def __init__(self, websocket: WebSocket, tab: str) -> None:
        self.id = uuid4().hex
        self.websocket, self.tab = websocket, tab
        self.outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(QUEUE_SIZE)
        self.late = asyncio.Event()

    def put(self, message: dict[str, Any]) -> bool:
        """Deja un mensaje en la cola sin esperar; si no cabe, la conexión va tarde y devuelve False."""
        # TODO 1: put_nowait lanza asyncio.QueueFull si no cabe: activa entonces self.late.
        return False

    async def write(self) -> None:
        """Emisor: el único que escribe en este WebSocket. Un envío que no acaba a tiempo activa `late`."""
        # TODO 2: Envía lo que haya en la cola, cada envío con su plazo (asyncio.timeout).
        await self.outbox.get()

    async def read(self) -> None:
        """Receptor: lee hasta que la conexión se acaba, que es como se sabe que se ha acabado."""
        while (await self.websocket.receive())["type"] != "websocket.disconnect":
            pass

    async def attend(self) -> None:
        """Atiende la conexión hasta que se va o se activa `late`."""
        # TODO 3: Tres tareas: read, write y self.late.wait. Cuando acabe la primera, cancela y espera las otras.
        await self.late.wait()


class Manager:
    """Las conexiones de cada persona, por la clave que les puso el servidor."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Connection]] = {}
        self.evicted = 0

    def join(self, user: str, connection: Connection) -> None:
        # TODO 4: Apunta la conexión por su id; puede ser la primera de esa persona.
        return

    def leave(self, user: str, connection: Connection) -> None:
        """Borra esta conexión y ninguna otra; de quien se queda sin conexiones no guarda nada."""
        # TODO 5: Bórrala y, si era la última de esa persona, borra también a la persona.
        return

    def send(self, user: str, message: dict[str, Any]) -> int:
        """Deja el mensaje en la cola de cada conexión de esa persona; devuelve en cuántas ha cabido."""
        # TODO 6: Sin ningún await: nadie espera a nadie.
        return 0


manager = Manager()


@app.get("/stats")
async def stats() -> Stats:
    return Stats(
        users=len(manager.users),
        connections=sum(len(connections) for connections in manager.users.values()),
        evicted=manager.evicted,
        tasks=len(asyncio.all_tasks()),
    )


@app.post("/users/{user}/messages", status_code=202)
async def send_message(user: str, message: NewMessage) -> Queued:
    return Queued(queued=manager.send(user, {"type": "message", "data": message.data}))


@app.websocket("/ws/{user}")
async def listen(websocket: WebSocket, user: str, tab: str = "") -> None:
    await websocket.accept()
    connection = Connection(websocket, tab)
    connection.put({"type": "welcome", "id": connection.id, "tab": tab})
    # TODO 7: Apúntala, atiéndela y, pase lo que pase, bórrala. Si acabó por ir tarde, cuenta el desalojo y
    #   ciérrala con TRY_AGAIN_LATER; también cerrar puede quedarse esperando: ponle el mismo plazo.
    await websocket.close()
