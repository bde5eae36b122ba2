"""Una pestaña de verdad, vista desde el cliente: recibe, se congela, despierta y se corta."""

import asyncio
import json
import socket
from typing import Literal

from pydantic import BaseModel
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed

from taller.runner import Address

BUFFER = 4096  # lo que guarda el núcleo de una pestaña que no lee; cuanto menos, antes se nota

State = Literal["reading", "frozen", "closed"]


class TabState(BaseModel):
    """`received` cuenta los mensajes; `code`, el de cierre que vio, o None si sigue abierta."""

    name: str
    state: State
    received: int
    code: int | None


class Tab:
    def __init__(self, name: str, connection: ClientConnection) -> None:
        self.name, self.connection = name, connection
        self.received = 0
        self.frozen = False
        self.listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, address: Address, name: str) -> "Tab":
        """
        Raises:
            OSError: no hay servidor.
        """
        options = {"compression": None, "ping_interval": None, "close_timeout": 0.5, "proxy": None}
        sock = socket.socket(socket.AF_UNIX if address.path else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address.path or (address.host, address.port))
        path = f"ws://tab/ws/ana?id={name}"
        if address.path:
            del options["proxy"]
            return cls(name, await unix_connect(uri=path, sock=sock, **options))
        return cls(name, await connect(path, sock=sock, **options))

    async def _listen(self) -> None:
        try:
            async for text in self.connection:
                if json.loads(text)["type"] == "message":
                    self.received += 1
        except ConnectionClosed:
            pass

    # region congelar
    def freeze(self) -> None:
        """Deja de leer del socket, como una pestaña que el navegador ha dormido o un portátil con la tapa bajada."""
        self.frozen = True
        self.connection.transport.pause_reading()

    def wake(self) -> None:
        self.frozen = False
        self.connection.transport.resume_reading()

    # endregion

    @property
    def state(self) -> TabState:
        code = self.connection.close_code
        state: State = "closed" if code is not None else "frozen" if self.frozen else "reading"
        return TabState(name=self.name, state=state, received=self.received, code=code)

    def cut(self) -> None:
        """Corta el cable sin despedirse."""
        self.connection.transport.abort()

    async def close(self) -> None:
        self.cut()
        await asyncio.gather(self.listening, return_exceptions=True)
