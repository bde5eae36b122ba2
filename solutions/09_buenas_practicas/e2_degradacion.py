"""9.2 Degradación elegante

Un aviso tiene que llegarle a una persona por el mejor camino que funcione ahora: su WebSocket; si no, su flujo SSE; si
no, un correo. Y cada camino puede fallar de tres maneras: diciendo que no, rompiéndose o quedándose callado.

**`POST /users/{user}/notifications`** con `{"text": "…"}` prueba los canales por orden, cada uno como mucho
`CHANNEL_SECONDS`, hasta que uno lo consigue. Contesta 200 con el recibo:

    {"id": "9f2c…", "channel": "websocket"}       alguien lo ha confirmado por su WebSocket
    {"id": "9f2c…", "channel": "sse"}             alguien lo ha confirmado al recibirlo por su flujo
    {"id": "9f2c…", "channel": "email_queued"}    está escrito en la cola de correo, y ahí sobrevive a un kill -9
    503                                           ningún canal lo ha conseguido

**`/ws/{user}`** recibe al entrar `{"type": "ready"}` y, con cada aviso, `{"type": "notification", "id": "9f2c…",
"text": "…"}`. Contesta con `{"type": "ack", "id": "9f2c…"}`, «lo tengo», o con `{"type": "nack", "id": "9f2c…"}`, «no
puedo». Lo que no se entiende se ignora.

**`GET /events/{user}`** es un flujo SSE: un evento `ready` y, con cada aviso, uno `notification` con `{"id": "9f2c…",
"text": "…"}`. Por ahí no se puede contestar; se confirma aparte, con **`POST /users/{user}/notifications/{id}/ack`**:
204, o 404 si ningún flujo de esa persona espera ya esa confirmación.

Alguien puede tener varias conexiones en cada canal: el aviso va a todas y basta con que confirme una. Un canal
**falla en el acto** si no tiene ninguna conexión de esa persona, o si todas contestan que no o se van; y falla a los
`CHANNEL_SECONDS` si siguen calladas. Una confirmación que llega tarde se ignora, y la conexión sigue.

Lo que se confirma por un canal no se envía por los siguientes. (Quien estaba callado quizá lo vea al despertar, además
de por otro lado: el `id` es el mismo en todos, para que el cliente lo reconozca.)

**El correo**: el aviso se escribe en el Stream `mail` de Redis (`XADD`), con los campos `id`, `to`
(`{user}@example.org`) y `text`. El cartero, casi escrito, envía lo que hay en él y anota en el hash `mail:{id}` qué fue
de cada uno. **`GET /mail/{id}`** lo cuenta: `{"status": "queued"}` desde que está en la cola, `{"status": "sent"}`
cuando el servidor de correo lo acepta, y `{"status": "rejected"}` si lo rechaza con un 5xx. Con cualquier otro fallo
sigue en la cola y se repite a los `RETRY_SECONDS`. Lo que no fue por correo, 404.

Si Redis no está, o no contesta, este canal falla; los otros dos no lo necesitan. (Un 503 es un «no lo sé»: quizá Redis
recibió la orden y no pudo decirlo.)

Variables de entorno: `CHANNEL_SECONDS` (2), `REDIS_URL` (`redis://127.0.0.1:6379`), `SMTP_URL`
(`smtp://127.0.0.1:1025`) y `RETRY_SECONDS` (5), lo que espera el cartero para repetir lo que dejó alguien a medias.

Ejemplo, con la pestaña de Ana congelada y sin ningún flujo:

    POST /users/ana/notifications {"text": "Ha llegado tu pedido"}
        a su WebSocket ← {"type": "notification", "id": "9f2c…", "text": "Ha llegado tu pedido"}   (dos segundos)
    200 {"id": "9f2c…", "channel": "email_queued"}
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from email.message import EmailMessage
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import uuid4

import aiosmtplib
from fastapi import FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from sse_starlette import EventSourceResponse, ServerSentEvent

CHANNEL_SECONDS = float(os.environ.get("CHANNEL_SECONDS", "2"))
RETRY_SECONDS = float(os.environ.get("RETRY_SECONDS", "5"))
SMTP = urlsplit(os.environ.get("SMTP_URL", "smtp://127.0.0.1:1025"))
SENDER = "taller@example.org"

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
# Los plazos los pone quien espera; con socket_timeout, redis-py se queda a veces con las cancelaciones (Python 3.11).
redis = Redis.from_url(REDIS_URL, decode_responses=True, retry=Retry(NoBackoff(), 0), socket_timeout=None)
logger = logging.getLogger("uvicorn.error")

ChannelName = Literal["websocket", "sse", "email_queued"]


class NewNotification(BaseModel):
    text: str


class Notification(NewNotification):
    id: str


class Receipt(BaseModel):
    id: str
    channel: ChannelName


class Answer(BaseModel):
    """Lo que contesta un WebSocket a una notificación."""

    type: Literal["ack", "nack"]
    id: str


class Mail(BaseModel):
    status: str


class Listener:
    """Una conexión de alguien: lo que hay que enviarle y las respuestas que se esperan de ella."""

    def __init__(self) -> None:
        self.outbox: asyncio.Queue[Notification] = asyncio.Queue()
        self.asked: dict[str, asyncio.Future[bool]] = {}

    def ask(self, note: Notification) -> asyncio.Future[bool]:
        """Le envía una notificación; el futuro dirá si la confirma."""
        future = self.asked[note.id] = asyncio.get_running_loop().create_future()
        self.outbox.put_nowait(note)
        return future

    def answer(self, note_id: str, accepted: bool) -> bool:
        """Apunta su respuesta; devuelve False si ya nadie la esperaba."""
        future = self.asked.pop(note_id, None)
        if future is None or future.done():
            return False
        future.set_result(accepted)
        return True

    def close(self) -> None:
        """Se ha ido: lo que no ha contestado ya no lo contestará."""
        for note_id in list(self.asked):
            self.answer(note_id, False)


class Channel:
    """Las conexiones de cada persona por un canal."""

    def __init__(self) -> None:
        self.listeners: dict[str, set[Listener]] = {}

    @contextmanager
    def listening(self, user: str) -> Iterator[Listener]:
        """Apunta una conexión mientras dura el bloque."""
        listener = Listener()
        self.listeners.setdefault(user, set()).add(listener)
        try:
            yield listener
        finally:
            self.listeners[user].discard(listener)
            if not self.listeners[user]:
                del self.listeners[user]
            listener.close()

    async def offer(self, user: str, note: Notification) -> bool:
        """True en cuanto alguien confirma; False en cuanto se sabe que nadie lo hará."""
        # region TODO 1: Pregunta a todas (ask) y mira sus respuestas según llegan (asyncio.as_completed). Al acabar,
        #   sea como sea, quita la pregunta de su `asked`: una respuesta tardía ya no la espera nadie.
        #: return False
        listeners = list(self.listeners.get(user, ()))
        try:
            for answer in asyncio.as_completed([listener.ask(note) for listener in listeners]):
                if await answer:
                    return True
            return False
        finally:
            for listener in listeners:
                listener.asked.pop(note.id, None)
        # endregion


websockets = Channel()
streams = Channel()


async def enqueue(user: str, note: Notification) -> bool:
    """Deja el correo escrito en la cola, con su estado «queued»: los dos o ninguno."""
    # region TODO 2: Un redis.pipeline(transaction=True) con xadd("mail", …) y hset(f"mail:{id}", "status", "queued").
    #   No uses create_task ni BackgroundTasks: viven en la memoria de este proceso.
    #: return False
    async with redis.pipeline(transaction=True) as both:
        both.xadd("mail", {"id": note.id, "to": f"{user}@example.org", "text": note.text})
        both.hset(f"mail:{note.id}", "status", "queued")
        await both.execute()
    return True
    # endregion


Offer = Callable[[str, Notification], Awaitable[bool]]
CHANNELS: dict[ChannelName, Offer] = {
    "websocket": websockets.offer,
    "sse": streams.offer,
    "email_queued": enqueue,
}


async def deliver(user: str, note: Notification) -> Receipt:
    """El recibo del primer canal que lo consigue, probados por orden; si no hay ninguno, 503."""
    # region TODO 3: Cada canal, con su plazo. Si dice que no, lanza o se calla, el siguiente.
    #: raise HTTPException(501, "sin escribir")
    for name, offer in CHANNELS.items():
        try:
            async with asyncio.timeout(CHANNEL_SECONDS):
                if await offer(user, note):
                    return Receipt(id=note.id, channel=name)
        except Exception:  # sea cual sea su avería, no impide probar los demás
            logger.warning("El canal %s falla con %s", name, note.id, exc_info=True)
    raise HTTPException(503, "Ningún canal lo ha conseguido")
    # endregion


class Postman:
    """El cartero: envía los correos de la cola. Puede haber uno en cada proceso."""

    def __init__(self) -> None:
        self.name, self.lease = uuid4().hex, int(RETRY_SECONDS * 1000)

    async def run(self) -> None:
        while True:
            try:
                with suppress(ResponseError):  # ya existe
                    await redis.xgroup_create("mail", "postmen", "0", mkstream=True)
                while True:
                    for entry_id, fields in await self.abandoned() or await self.fresh():
                        await self.handle(entry_id, fields)
            except (RedisError, OSError):
                await asyncio.sleep(0.1)

    async def abandoned(self) -> list[Any]:
        """Lo que alguien recibió hace RETRY_SECONDS y no terminó."""
        claimed: Any = await redis.xautoclaim("mail", "postmen", self.name, min_idle_time=self.lease, count=1)
        return list(claimed[1])

    async def fresh(self) -> list[Any]:
        found: Any = await redis.xreadgroup("postmen", self.name, {"mail": ">"}, count=1, block=self.lease // 2)
        return [entry for _, entries in found for entry in entries]

    async def handle(self, entry_id: str, fields: dict[str, str]) -> None:
        """Un intento de enviar un correo. Si acaba sin saberse qué fue de él, la entrada se queda en la cola."""
        # region TODO 4: Envíalo con send_mail. Si se acepta, «sent»; si lo rechazan con un 5xx (SMTPResponseException y
        #   su .code), «rejected»; con cualquier otro fallo, vuelve sin más: se repetirá. Después, y no antes, finish.
        #: return
        try:
            await send_mail(fields["to"], fields["text"])
            status = "sent"
        except aiosmtplib.SMTPResponseException as refusal:
            if refusal.code < 500:
                return
            status = "rejected"
        except (aiosmtplib.SMTPException, OSError):
            return
        await self.finish(entry_id, fields["id"], status)
        # endregion

    async def finish(self, entry_id: str, note_id: str, status: str) -> None:
        """Anota qué fue del correo y lo quita de la cola."""
        async with redis.pipeline(transaction=True) as together:
            together.hset(f"mail:{note_id}", "status", status)
            together.expire(f"mail:{note_id}", 86_400)
            together.xack("mail", "postmen", entry_id)
            together.xdel("mail", entry_id)
            await together.execute()


async def send_mail(to: str, text: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, to, "Tienes un aviso"
    message.set_content(text)
    # Un intento dura menos que el plazo de repetir: así nadie lo recoge mientras aún se está enviando.
    async with asyncio.timeout(RETRY_SECONDS * 0.8):
        await aiosmtplib.send(message, hostname=SMTP.hostname, port=SMTP.port)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    postman = asyncio.create_task(Postman().run())
    yield
    postman.cancel()
    await asyncio.gather(postman, return_exceptions=True)
    await redis.aclose()


app = FastAPI(title="Degradación elegante", lifespan=lifespan)


@app.post("/users/{user}/notifications")
async def notify(user: str, new: NewNotification) -> Receipt:
    return await deliver(user, Notification(id=uuid4().hex, text=new.text))


@app.get("/mail/{note_id}")
async def mail_status(note_id: str) -> Mail:
    status: Any = await redis.hget(f"mail:{note_id}", "status")
    if status is None:
        raise HTTPException(404, "Esa notificación no fue por correo")
    return Mail(status=status)


@app.websocket("/ws/{user}")
async def listen(websocket: WebSocket, user: str) -> None:
    await websocket.accept()
    with websockets.listening(user) as listener:
        writer = asyncio.create_task(write(websocket, listener))
        try:
            with suppress(WebSocketDisconnect):
                await read(websocket, listener)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)


async def write(websocket: WebSocket, listener: Listener) -> None:
    with suppress(WebSocketDisconnect):
        await websocket.send_json({"type": "ready"})
        while True:
            note = await listener.outbox.get()
            await websocket.send_json({"type": "notification", **note.model_dump()})


async def read(websocket: WebSocket, listener: Listener) -> None:
    """Lee lo que contesta un WebSocket hasta que se va; lo que no se entiende se ignora."""
    while True:
        text = await websocket.receive_text()
        # region TODO 5: Answer.model_validate_json lanza ValidationError si no es una respuesta. Un «nack» también
        #   contesta.
        #: print("Ha contestado", text)
        with suppress(ValidationError):
            answer = Answer.model_validate_json(text)
            listener.answer(answer.id, answer.type == "ack")
        # endregion


@app.get("/events/{user}")
async def events(user: str) -> EventSourceResponse:
    return EventSourceResponse(follow(user))


async def follow(user: str) -> AsyncIterator[ServerSentEvent]:
    with streams.listening(user) as listener:
        yield ServerSentEvent(event="ready", data="{}")
        while True:
            note = await listener.outbox.get()
            yield ServerSentEvent(event="notification", data=json.dumps(note.model_dump(), ensure_ascii=False))


@app.post("/users/{user}/notifications/{note_id}/ack", status_code=204)
async def confirm(user: str, note_id: str) -> None:
    """Confirma lo recibido por un flujo, que no tiene por dónde contestar."""
    # region TODO 6: Un flujo de esa persona la esperaba, o 404. Pregunta a todos: no se sabe cuál la recibió.
    #: raise HTTPException(404, "Nadie espera esa confirmación")
    answered = [listener.answer(note_id, True) for listener in streams.listeners.get(user, ())]
    if not any(answered):
        raise HTTPException(404, "Nadie espera esa confirmación")
    # endregion
