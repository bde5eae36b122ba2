"""Apretones de manos escritos a mano, byte a byte, para ver qué contesta el servidor a cada uno."""

import asyncio
from enum import StrEnum

from pydantic import BaseModel
from wire import END_OF_HEAD

DEADLINE = 3.0
MAX_ANSWER = 4096


class Variant(StrEnum):
    NO_VERSION = "no-version"
    COMPLETE = "complete"
    OLD_VERSION = "old-version"
    BAD_KEY = "bad-key"
    NO_UPGRADE = "no-upgrade"


# region peticion
COMPLETE = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
    "Sec-WebSocket-Version": "13",
}
# endregion

HEADERS = {
    Variant.COMPLETE: COMPLETE,
    Variant.NO_VERSION: {k: v for k, v in COMPLETE.items() if k != "Sec-WebSocket-Version"},
    Variant.OLD_VERSION: COMPLETE | {"Sec-WebSocket-Version": "8"},
    Variant.BAD_KEY: COMPLETE | {"Sec-WebSocket-Key": "hola"},
    Variant.NO_UPGRADE: {k: v for k, v in COMPLETE.items() if k not in ("Upgrade", "Connection")},
}


class Exchange(BaseModel):
    request: str
    response: str
    status: int


def request_text(variant: Variant) -> str:
    lines = ["GET /ws/echo HTTP/1.1", *(f"{name}: {value}" for name, value in HEADERS[variant].items())]
    return "\r\n".join(lines) + "\r\n\r\n"


async def try_handshake(variant: Variant, port: int) -> Exchange:
    """Por el relé, como cualquier otro cliente: la petición y la respuesta salen también en el diario."""
    request = request_text(variant)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request.encode())
        async with asyncio.timeout(DEADLINE):
            response = await read_answer(reader)
    finally:
        writer.close()
    return Exchange(request=request, response=response, status=int(response.split(" ")[1]))


async def read_answer(reader: asyncio.StreamReader) -> str:
    """La cabecera y, si la respuesta trae explicación, también el cuerpo."""
    head = (await reader.readuntil(END_OF_HEAD)).decode("latin-1")
    if head.startswith("HTTP/1.1 101"):
        return head
    return head + (await reader.read(MAX_ANSWER)).decode(errors="replace")
