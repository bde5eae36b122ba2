"""3.3 Errores que se ven

Un envío que falla en segundo plano falla a solas: nadie lo mira. Escribe un repartidor de correo que insista
cuando merece la pena, que se rinda a tiempo y que deje dicho lo que no pudo hacer.

**`POST /messages`** recibe `{"to": ["ana@example.org", …], "subject": "…", "text": "…"}` y contesta 202 con un id
por destinatario, en su orden: `{"ids": ["…", …]}`. Cada destinatario recibe su propio correo.

Cada envío se intenta hasta `MAX_ATTEMPTS` veces, y cada intento dura como mucho `ATTEMPT_SECONDS`:

    el intento…                                               se anota como     ¿otra vez?
    recibe un código 5xx del servidor de correo               rejected          no: dirá lo mismo
    recibe un código 4xx, o no consigue conectar              unavailable       sí
    no acaba en ATTEMPT_SECONDS                               timeout           sí

Entre el intento n y el siguiente se espera un tiempo al azar entre la mitad y el total de
`BASE_SECONDS · 2^(n-1)`: se dobla cada vez, y quienes fallan juntos no vuelven juntos.

**`GET /failures`** lista los que se dieron por perdidos, según se fueron perdiendo: a quién, cuántos intentos se
hicieron, cuántos segundos se esperó entre ellos y el motivo del último.

- De cada uno queda además una traza en la salida (`logger.exception`) que nombra su `id`.
- Los textos llevan códigos y contraseñas: ni `/failures` ni la salida de la app los contienen nunca.
- Que uno falle no impide los demás, tampoco los de la misma petición. `WORKERS` envíos van a la vez.
- Con SIGTERM la app termina enseguida aunque haya un envío colgado (lo que quede por enviar se pierde: eso lo
  arreglarás en 3.5).

Variables de entorno: `SMTP_URL` (`smtp://127.0.0.1:1025`), `MAX_ATTEMPTS` (3), `ATTEMPT_SECONDS` (5),
`BASE_SECONDS` (1) y `WORKERS` (4).

Ejemplo, con Luis en un servidor que no contesta:

    POST /messages {"to": ["ana@example.org", "luis@example.org"], "subject": "Código", "text": "Es 4821"}
    202 {"ids": ["1f…", "8a…"]}
    GET /failures     (un rato después)
    200 [{"id": "8a…", "to": "luis@example.org", "attempts": 3, "waits": [0.83, 1.21], "reason": "timeout"}]
"""

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Annotated
from urllib.parse import urlsplit
from uuid import uuid4

import aiosmtplib
from fastapi import FastAPI
from pydantic import BaseModel, Field

SMTP = urlsplit(os.environ.get("SMTP_URL", "smtp://127.0.0.1:1025"))
MAX_ATTEMPTS = int(os.environ.get("MAX_ATTEMPTS", "3"))
ATTEMPT_SECONDS = float(os.environ.get("ATTEMPT_SECONDS", "5"))
BASE_SECONDS = float(os.environ.get("BASE_SECONDS", "1"))
WORKERS = int(os.environ.get("WORKERS", "4"))
SENDER = "taller@example.org"

logger = logging.getLogger("uvicorn.error")

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Message(BaseModel):
    """Lo que pide el cliente."""

    to: Annotated[list[Line], Field(min_length=1, max_length=100)]
    subject: Line
    text: str


class Queued(BaseModel):
    ids: list[str]


class Failure(BaseModel):
    """Un envío que se dio por perdido."""

    id: str
    to: str
    attempts: int
    waits: list[float]
    reason: str


@dataclass
class Delivery:
    """Un envío pendiente: un mensaje para un destinatario."""

    to: str
    subject: str
    text: str = field(repr=False)
    id: str = field(default_factory=lambda: uuid4().hex)


failures: list[Failure] = []
pending: asyncio.Queue[Delivery] = asyncio.Queue()


async def send(delivery: Delivery) -> None:
    """Un intento, sin plazo. Si no puede, aiosmtplib.SMTPException u OSError; si no hay forma de escribirlo, otra."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = SENDER, delivery.to, delivery.subject
    mail.set_content(delivery.text)
    client = aiosmtplib.SMTP(hostname=SMTP.hostname, port=SMTP.port, timeout=None)
    try:
        await client.connect()
        await client.send_message(mail)
    except aiosmtplib.SMTPRecipientsRefused as refused:
        # Hay un solo destinatario: lo que importa es el código con que lo rechazan.
        raise refused.recipients[0] from None
    finally:
        # Colgar sin despedirse: aiosmtplib.send() diría adiós y esperaría la respuesta, también al cancelarlo.
        client.close()


def reason_for(error: Exception) -> str:
    """Cómo se anota un error: «timeout», «rejected» o «unavailable»."""
    # TODO 1: Clasifica. Cuando el servidor contesta con un código, la excepción es SMTPResponseException y lo
    #   trae en .code; el plazo vencido es TimeoutError.
    return "unknown"


def pause_after(attempt: int) -> float:
    """Cuánto esperar tras el intento número `attempt` (el primero es el 1)."""
    # TODO 2: Al azar entre la mitad y el total de BASE_SECONDS · 2^(attempt-1).
    return 0.0


async def deliver(delivery: Delivery) -> None:
    """Insiste mientras merezca la pena; si no lo consigue, lo apunta en failures y deja una traza."""
    # TODO 3: Intenta, con plazo, hasta MAX_ATTEMPTS veces. Si no queda otra, apunta el fallo y la traza.
    #   En el registro, el id; nunca el texto.
    await send(delivery)


async def work() -> None:
    """Un obrero: reparte lo pendiente, de uno en uno."""
    # TODO 4: Repite: toma un envío de pending y repártelo. Nada de lo que falle puede parar el bucle.
    await deliver(await pending.get())


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # TODO 5: WORKERS obreros mientras viva la app; al terminar, cancélalos y espera a que hayan acabado.
    worker = asyncio.create_task(work())
    yield


app = FastAPI(title="Errores que se ven", lifespan=lifespan)


@app.post("/messages", status_code=202)
async def enqueue(message: Message) -> Queued:
    deliveries = [Delivery(to, message.subject, message.text) for to in message.to]
    for delivery in deliveries:
        pending.put_nowait(delivery)
    return Queued(ids=[delivery.id for delivery in deliveries])


@app.get("/failures")
async def list_failures() -> list[Failure]:
    return failures
