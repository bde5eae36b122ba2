"""2.2 Apretón de manos

Antes de hablar WebSocket, cliente y servidor se ponen de acuerdo por HTTP. uvicorn lo hace por ti; aquí lo
haces tú, para saber qué se dicen y qué puedes decidir en ese momento.

**`GET /handshake`** recibe las cabeceras de un apretón de manos y contesta lo que contestaría un servidor:

    Sec-WebSocket-Version falta                          400
    Sec-WebSocket-Version no es 13                       426, con la cabecera Sec-WebSocket-Version: 13
    Sec-WebSocket-Key falta o no son 16 bytes en base64  400
    todo en orden                                        200 {"accept": "…", "subprotocol": "…" o null}

`accept` es el valor que iría en Sec-WebSocket-Accept: la clave, con el identificador de la especificación
(GUID) pegado detrás, resumida con SHA-1 y escrita en base64.

`subprotocol` es el primero de `SUBPROTOCOLS` que el cliente haya ofrecido en Sec-WebSocket-Protocol (una
lista separada por comas); null si no ofrece ninguno que hables. Manda tu orden, no el suyo.

**`/ws`** es un WebSocket de verdad que decide antes de aceptar:

- si la petición trae una cabecera `Origin` distinta de `ALLOWED_ORIGIN`, la rechaza con HTTP 403 sin llegar a
  abrir el WebSocket; si no trae `Origin`, no viene de una página, y la acepta;
- al aceptar, elige el subprotocolo con la misma regla; si no hay ninguno en común, acepta sin subprotocolo;
- una vez abierto, envía `{"type": "welcome", "subprotocol": "…" o null}` y se queda, sin hacer caso de lo que le
  digan, hasta que el cliente se vaya; que se vaya no deja una traza en la salida.

Variables de entorno: `SUBPROTOCOLS` (por defecto `chat.v2,chat.v1`, de más a menos preferido) y
`ALLOWED_ORIGIN` (por defecto `http://127.0.0.1:8000`).

Ejemplo:

    GET /handshake
    Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==
    Sec-WebSocket-Version: 13
    Sec-WebSocket-Protocol: chat.v1, chat.v2

    200 {"accept": "HSmrc0sMlYUkAGmm5OPpG2HaGWk=", "subprotocol": "chat.v2"}
"""

import base64
import hashlib
import os
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, WebSocket, WebSocketDisconnect
from pydantic import BaseModel

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SUBPROTOCOLS = os.environ.get("SUBPROTOCOLS", "chat.v2,chat.v1").split(",")
ALLOWED_ORIGIN = os.environ.get("ALLOWED_ORIGIN", "http://127.0.0.1:8000")

app = FastAPI(title="Apretón de manos")


class Handshake(BaseModel):
    """Lo que el servidor contesta a un apretón de manos correcto."""

    accept: str
    subprotocol: str | None


def accept_value(key: str) -> str:
    """El valor de Sec-WebSocket-Accept que corresponde a una Sec-WebSocket-Key."""
    # region TODO 1: Calcula el valor: SHA-1 de la clave seguida de GUID, en base64.
    #: return key
    digest = hashlib.sha1((key + GUID).encode()).digest()
    return base64.b64encode(digest).decode()
    # endregion


def check_request(key: str | None, version: str | None) -> None:
    """Lanza la HTTPException que merezca la petición; no hace nada si está en orden."""
    # region TODO 2: Comprueba la versión (400 si falta, 426 si es otra) y la clave (400).
    #: return
    if version is None:
        raise HTTPException(400, "Falta Sec-WebSocket-Version")
    if version != "13":
        raise HTTPException(426, "Solo se habla la versión 13", headers={"Sec-WebSocket-Version": "13"})
    if key is None or not is_nonce(key):
        raise HTTPException(400, "Sec-WebSocket-Key debe ser 16 bytes en base64")
    # endregion


def is_nonce(key: str) -> bool:
    """Si `key` son 16 bytes escritos en base64."""
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except ValueError:
        return False


def choose_subprotocol(offered: list[str]) -> str | None:
    """El primero de SUBPROTOCOLS que el cliente ha ofrecido, o None."""
    # region TODO 3: Elige según tu orden de preferencia.
    #: return "ninguno"
    return next((name for name in SUBPROTOCOLS if name in offered), None)
    # endregion


@app.get("/handshake")
async def handshake(
    sec_websocket_key: Annotated[str | None, Header()] = None,
    sec_websocket_version: Annotated[str | None, Header()] = None,
    sec_websocket_protocol: Annotated[str, Header()] = "",
) -> Handshake:
    check_request(sec_websocket_key, sec_websocket_version)
    offered = [name.strip() for name in sec_websocket_protocol.split(",")]
    return Handshake(accept=accept_value(sec_websocket_key or ""), subprotocol=choose_subprotocol(offered))


@app.websocket("/ws")
async def connect(websocket: WebSocket) -> None:
    # region TODO 4: Rechaza los orígenes ajenos antes de aceptar; acepta con el subprotocolo que toque, saluda
    #   con «welcome» y espera a que el cliente se vaya. Lo que ofrece está en websocket.scope["subprotocols"].
    #: await websocket.accept()
    if websocket.headers.get("origin", ALLOWED_ORIGIN) != ALLOWED_ORIGIN:
        await websocket.close()
        return
    subprotocol = choose_subprotocol(websocket.scope["subprotocols"])
    await websocket.accept(subprotocol=subprotocol)
    await websocket.send_json({"type": "welcome", "subprotocol": subprotocol})
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        return
    # endregion
