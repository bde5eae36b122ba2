"""3.1 Correo de bienvenida

Alguien se apunta y quiere una respuesta ya; el correo puede llegar un segundo después. Escribe el alta:

**`POST /users`** recibe `{"email": "ana@example.org", "name": "Ana"}` y contesta **202** con el `id` que le has
puesto, un texto nuevo cada vez:

    {"id": "9f2c…", "status": "accepted"}

Después de contestar, no antes, se envía por SMTP **un** correo:

    De       taller@example.org            (SENDER)
    Para     la dirección recibida
    Asunto   ¡Te damos la bienvenida, Ana!
    Texto    contiene el nombre

- Mientras el servidor de correo se lo piensa, la app sigue atendiendo: nada la bloquea.
- Los datos van en el cuerpo, nunca en la dirección: lo que va en una URL acaba en los registros de todos los
  servidores por los que pasa. La salida de tu app no contiene la dirección de nadie cuando todo va bien.
- `email` es un texto de hasta 254 caracteres como `algo@dominio.algo`: una sola `@`, sin espacios ni comas (una coma
  separa destinatarios). `name`, de 1 a 60 caracteres, sin saltos de línea ni ningún otro carácter de control (los
  32 primeros y el 127). Lo que no cumple se contesta con 422 y no envía nada.
- Si el envío falla, ya no hay a quién contestar: escribe en el registro una traza (`logger.exception`) que
  nombre el `id`. La app sigue en pie, y el correo siguiente sale.

El servidor de correo es el de la variable de entorno `SMTP_URL` (por defecto `smtp://127.0.0.1:1025`, el de
`python3 curso.py servicios`).

Ejemplo:

    POST /users {"email": "ana@example.org", "name": "Ana"}      202 {"id": "9f2c…", "status": "accepted"}
    POST /users {"email": "ana", "name": "Ana"}                  422
    POST /users?email=ana@example.org&name=Ana                   422
"""

import logging
import os
from email.message import EmailMessage
from typing import Annotated
from urllib.parse import urlsplit
from uuid import uuid4

import aiosmtplib
from fastapi import BackgroundTasks, FastAPI
from pydantic import BaseModel, Field

SMTP = urlsplit(os.environ.get("SMTP_URL", "smtp://127.0.0.1:1025"))
SENDER = "taller@example.org"

logger = logging.getLogger("uvicorn.error")
app = FastAPI(title="Correo de bienvenida")


class Newcomer(BaseModel):
    """Quien se apunta."""

    # TODO 1: Declara email y name con sus límites: Annotated[str, Field(max_length=…, pattern=r"…")].
    #   Un pattern de Pydantic busca en cualquier parte del texto: átalo con ^ y $.
    email: str = ""
    name: str = ""


class Accepted(BaseModel):
    """La respuesta: se hará; no dice que se haya hecho."""

    id: str
    status: str = "accepted"


def welcome(newcomer: Newcomer) -> EmailMessage:
    """El correo de bienvenida."""
    message = EmailMessage()
    # TODO 2: Rellena From, To y Subject y escribe el texto con message.set_content().
    message.set_content("Hola")
    return message


async def send_welcome(user_id: str, newcomer: Newcomer) -> None:
    """Envía el correo; si no se puede, deja una traza con el id."""
    # TODO 3: Envía welcome(newcomer) con aiosmtplib.send(…, hostname=…, port=…) al servidor de SMTP.
    #   Nadie espera el resultado: si falla, dilo en el registro.
    logger.info("Habría que enviar un correo")


@app.post("/users", status_code=202)
async def register(newcomer: Newcomer, background: BackgroundTasks) -> Accepted:
    user_id = uuid4().hex
    # TODO 4: Encarga el envío para después de contestar.
    user_id = ""
    return Accepted(id=user_id)
