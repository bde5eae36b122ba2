"""3.5 Cola durable

Lo que vive en la memoria de un proceso muere con él. Aquí lo aceptado se escribe en una cola (un Stream de Redis)
antes de decir que sí, y lo hace otro proceso, el obrero. Cualquiera de los dos puede morir a mitad: nada se pierde, y
lo que se repite no se nota.

**`PUT /deposits/{id}`** recibe `{"account": "ana", "amount": 5}` y contesta:

    202 {"id": "…", "account": "ana", "amount": 5}     está en la cola
    503                                                la cola no lo ha confirmado en ENQUEUE_SECONDS

Un 503 significa «no lo sé»: quizá llegó. El id lo pone el cliente, así que puede repetir la petición sin miedo: el
mismo id es el mismo ingreso, llegue las veces que llegue. (Un cliente que repite un id repite también la cuenta y el
importe; lo contrario no hace falta mirarlo.)

**`GET /accounts/{account}`** contesta lo ingresado: `{"balance": 5, "deposits": 1}`; ceros si no hay nada.

El obrero hace cada ingreso: tarda `WORK_SECONDS` en comprobarlo y después lo anota. taskiq-redis entrega cada tarea
**al menos una vez**: si el obrero muere antes de confirmarla (XACK), se la dará a otro a los `IDLE_SECONDS`; y si solo
tardaba más que eso, también. Por tanto:

- se confirma después de hacerla, nunca antes;
- anotar dos veces el mismo ingreso tiene que dar lo mismo que anotarlo una;
- lo abandonado se recoge aunque no llegue nada nuevo: `RedisStreamBroker.listen()` solo lo mira cuando llega algo, y
  por eso lo escribes tú;
- una tarea hecha desaparece de la cola (XDEL): confirmada, pero guardada, ocuparía memoria para siempre.

La cola es el stream `deposits`, con el grupo `workers`; el archivo define `app` y `broker`. Para probarlo a mano:
`../../.venv/bin/uvicorn e5_cola:app` en un terminal y `../../.venv/bin/taskiq worker e5_cola:broker` en otro, desde
la carpeta de este archivo.

Variables de entorno: `REDIS_URL` (`redis://127.0.0.1:6379`), `WORK_SECONDS` (0.5), `IDLE_SECONDS` (10) y
`ENQUEUE_SECONDS` (1).

Ejemplo:

    PUT /deposits/a1 {"account": "ana", "amount": 5}    202
    PUT /deposits/a1 {"account": "ana", "amount": 5}    202     (por si acaso)
    GET /accounts/ana                                   200 {"balance": 5, "deposits": 1}
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from redis.asyncio import Redis
from taskiq import AckableMessage
from taskiq.exceptions import SendTaskError
from taskiq_redis import RedisStreamBroker

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
WORK_SECONDS = float(os.environ.get("WORK_SECONDS", "0.5"))
IDLE_SECONDS = float(os.environ.get("IDLE_SECONDS", "10"))
ENQUEUE_SECONDS = float(os.environ.get("ENQUEUE_SECONDS", "1"))

IDLE_MS = int(IDLE_SECONDS * 1000)

# Sin socket_timeout: redis-py daría por roto, a los 5 s, a un Redis que calla porque no hay nada nuevo. Además, en
# Python 3.11 ese plazo pierde de vez en cuando una cancelación, y el obrero no se enteraría de que tiene que parar.
redis = Redis.from_url(REDIS_URL, socket_timeout=None)
Entry = tuple[bytes, dict[bytes, bytes]]


class Queue(RedisStreamBroker):
    """La cola de ingresos: RedisStreamBroker, pero recoge lo abandonado en cada vuelta y borra lo hecho."""

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Las tareas para este obrero, según le van tocando."""
        # TODO 3: En cada vuelta, entrega lo abandonado o, si no lo hay, lo nuevo, como
        #   AckableMessage(data=fields[b"data"], ack=…); ack, sin argumentos, llama a self.finish con el id.
        async for message in super().listen():
            yield message

    async def abandoned(self) -> list[Entry]:
        """Una entrega sin confirmar desde hace IDLE_SECONDS, que pasa a ser nuestra; si la hay."""
        claimed: Any = await redis.xautoclaim(
            self.queue_name, self.consumer_group_name, self.consumer_name, min_idle_time=IDLE_MS, count=1
        )
        entries: list[Entry] = claimed[1]
        return entries

    async def fresh(self) -> list[Entry]:
        """Lo primero que nadie ha recibido aún; si no hay nada, espera un poco."""
        streams: Any = await redis.xreadgroup(
            self.consumer_group_name, self.consumer_name, {self.queue_name: ">"}, count=1, block=IDLE_MS // 2
        )
        return [entry for _, entries in streams for entry in entries]

    async def finish(self, entry_id: bytes) -> None:
        """Lo que taskiq llama cuando la tarea ha terminado."""
        # TODO 4: Confirma la entrada (xack) y bórrala (xdel).
        return


broker = Queue(REDIS_URL, queue_name="deposits", consumer_group_name="workers", consumer_id="0", idle_timeout=IDLE_MS)


class Deposit(BaseModel):
    """Lo que pide el cliente."""

    account: Annotated[str, Field(pattern=r"^[a-z0-9]{1,30}$")]
    amount: Annotated[int, Field(gt=0, le=1_000_000)]


class Accepted(Deposit):
    id: str


class Account(BaseModel):
    balance: int
    deposits: int


@broker.task
async def apply(deposit_id: str, account: str, amount: int) -> None:
    """Comprueba un ingreso y lo anota. Corre en el obrero, quizá más de una vez con el mismo id."""
    await asyncio.sleep(WORK_SECONDS)
    # TODO 2: Anótalo de manera que repetirlo no cambie nada: no sumes a un total; escribe el importe en una
    #   casilla que lleve su id (un campo de un hash de Redis).
    print("Habría que anotar", deposit_id)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()
    await redis.aclose()


app = FastAPI(title="Cola durable", lifespan=lifespan)


@app.put("/deposits/{deposit_id}", status_code=202)
async def deposit(deposit_id: str, order: Deposit) -> Accepted:
    # TODO 1: Encola apply con .kiq(…) y espera a que esté en la cola, como mucho ENQUEUE_SECONDS; si no llega
    #   a estarlo (TimeoutError, o SendTaskError, que es como taskiq dice que no pudo), 503.
    print("Habría que encolar", deposit_id)
    return Accepted(id=deposit_id, **order.model_dump())


@app.get("/accounts/{account}")
async def account_status(account: str) -> Account:
    # TODO 5: Lee lo que anotó apply: hvals da los valores de un hash.
    return Account(balance=0, deposits=0)
