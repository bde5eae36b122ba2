"""Un cliente WebSocket de verdad, con plazo en cada espera."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Origin, Subprotocol

from taller.patience import patience
from taller.wire.compare import difference, show
from taller.wire.mismatch import Mismatch
from taller.wire.raw import connected_socket
from taller.wire.target import DEADLINE, Target
from taller.wire.transcript import shorten, transcript

MAX_MESSAGE = 4 * 1024 * 1024
ALREADY = 0.1  # lo que tarda en leerse lo que ya está en la conexión, con holgura


class WebSocketClient:
    """Una conexión abierta. `name` es cómo se llama en la transcripción («Ana»)."""

    def __init__(self, connection: ClientConnection, target: Target, name: str) -> None:
        self.connection, self.target, self.name = connection, target, name

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        target: Target,
        path: str,
        *,
        name: str = "cliente",
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
        subprotocols: Sequence[str] | None = None,
        buffer: int | None = None,
        within: float = DEADLINE,
    ) -> AsyncIterator["WebSocketClient"]:
        """Abre la conexión y, al salir, la cierra.

        `buffer` es el tamaño del búfer de recepción del núcleo, en bytes, para un lector que se va a parar.

        Raises:
            Mismatch: el servidor la rechaza, no contesta en `within` segundos o no habla WebSocket.
        """
        transcript.add(name, target.name, "ws", f"abre un WebSocket en {path}")
        try:
            connection = await _connect(
                target,
                path,
                buffer,
                additional_headers=headers,
                origin=cast(Origin, origin),
                subprotocols=cast(Sequence[Subprotocol], subprotocols),
                open_timeout=patience(within),
                close_timeout=0.2,
                ping_interval=None,
                compression=None,
                max_size=MAX_MESSAGE,
            )
        except (OSError, InvalidHandshake, InvalidMessage, TimeoutError, EOFError) as error:
            received = await target.explain(_refusal(error, within))
            transcript.add(target.name, name, "close", received)
            raise Mismatch(f"que {path} acepte el WebSocket", received) from error
        try:
            yield cls(connection, target, name)
        finally:
            with contextlib.suppress(ConnectionClosed, OSError, TimeoutError):
                await asyncio.wait_for(connection.close(), 0.5)

    @property
    def subprotocol(self) -> str | None:
        return self.connection.subprotocol

    async def send(self, message: str | bytes) -> None:
        """Envía una trama de texto (`str`) o binaria (`bytes`)."""
        shown = message if isinstance(message, str) else f"binario, {len(message)} B: {message[:32].hex(' ')}"
        transcript.add(self.name, self.target.name, "ws", shown)
        try:
            await asyncio.wait_for(self.connection.send(message), patience(DEADLINE))
        except (ConnectionClosed, TimeoutError) as error:
            raise Mismatch("que la conexión siga abierta", await self._why_silent(error)) from error

    async def send_json(self, message: Any) -> None:
        await self.send(json.dumps(message, ensure_ascii=False))

    async def receive(self, within: float = DEADLINE, *, expecting: str = "un mensaje") -> str | bytes:
        """El siguiente mensaje.

        Raises:
            Mismatch: no llega en `within` segundos, o la conexión se cierra antes.
        """
        try:
            message = await asyncio.wait_for(self.connection.recv(), patience(within))
        except TimeoutError as error:
            raise Mismatch(expecting, await self.target.explain(f"nada en {within:g} s")) from error
        except ConnectionClosed as error:
            received = await self.target.explain(self._note_close())
            raise Mismatch(expecting, received) from error
        shown = message if isinstance(message, str) else f"binario, {len(message)} B: {message[:32].hex(' ')}"
        transcript.add(self.target.name, self.name, "ws", shown)
        return message

    async def already_here(self) -> str | bytes | None:
        """Lo que la app ya ha tenido ocasión de enviar (ver `let_it_go_on`), o None si no ha enviado nada."""
        try:
            return await self.receive(ALREADY)
        except Mismatch:
            return None

    async def receive_json(self, within: float = DEADLINE, *, expecting: str = "un mensaje JSON") -> Any:
        """El siguiente mensaje, que debe ser JSON en una trama de texto."""
        message = await self.receive(within, expecting=expecting)
        if isinstance(message, bytes):
            raise Mismatch(f"{expecting} en una trama de texto", f"una trama binaria de {len(message)} B")
        try:
            return json.loads(message)
        except ValueError as error:
            raise Mismatch(expecting, f"un texto que no es JSON: {shorten(message, 120)}") from error

    async def expect(self, expected: Any, within: float = DEADLINE) -> Any:
        """El siguiente mensaje, que debe cumplir `expected` (ver `compare`)."""
        wanted = shorten(show(expected))
        message = await self.receive_json(within, expecting=wanted)
        if found := difference(expected, message):
            raise Mismatch(wanted, f"{shorten(show(message))} (se esperaba {found})")
        return message

    async def exchange(self, message: Any, expected: Any, within: float = DEADLINE) -> Any:
        """Envía un mensaje JSON y espera su respuesta."""
        await self.send_json(message)
        return await self.expect(expected, within)

    async def expect_close(self, code: int, within: float = DEADLINE) -> str:
        """Espera a que el servidor cierre con `code`; devuelve el motivo. Los mensajes pendientes se leen antes."""
        expected = f"que el servidor cierre con el código {code}"
        try:
            async with asyncio.timeout(patience(within)):
                while True:
                    message = await self.connection.recv()
                    transcript.add(self.target.name, self.name, "ws", shorten(str(message)))
        except TimeoutError as error:
            raise Mismatch(expected, f"la conexión sigue abierta tras {within:g} s") from error
        except ConnectionClosed as error:
            received = self._note_close()
            if self.connection.close_code != code:
                raise Mismatch(expected, await self.target.explain(received)) from error
        return self.connection.close_reason or ""

    async def expect_open(self, within: float = DEADLINE) -> None:
        """Comprueba que la conexión sigue viva: varias idas y vueltas de ping, que dan a la app tiempo de cerrarla."""
        try:
            async with asyncio.timeout(patience(within)):
                for _ in range(5):
                    await (await self.connection.ping())
        except (TimeoutError, ConnectionClosed) as error:
            received = self._note_close() if isinstance(error, ConnectionClosed) else f"ningún pong en {within:g} s"
            raise Mismatch("que la conexión siga abierta", await self.target.explain(received)) from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Cierra como un cliente educado: trama de cierre y espera de la respuesta."""
        transcript.add(self.name, self.target.name, "close", f"cierra con el código {code}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.connection.close(code, reason), 0.5)

    async def abort(self) -> None:
        """Corta el cable: al volver, la conexión ha desaparecido sin trama de cierre."""
        transcript.add(self.name, self.target.name, "close", "corta la conexión sin despedirse")
        self.connection.transport.abort()
        await self.connection.wait_closed()

    def stop_reading(self) -> None:
        """Deja de leer, como una pestaña congelada: lo que envíe el servidor se acumula en su lado."""
        transcript.note(f"{self.name} deja de leer")
        self.connection.transport.pause_reading()

    def resume_reading(self) -> None:
        """Vuelve a leer, como una pestaña que despierta: llega lo acumulado y después lo que haya."""
        transcript.note(f"{self.name} vuelve a leer")
        self.connection.transport.resume_reading()

    def _note_close(self) -> str:
        if self.connection.protocol.close_exc.rcvd is None and self.connection.protocol.close_sent:
            # Cerramos nosotros, por un mensaje que no se podía aceptar: el código es nuestro, no del servidor.
            return "un mensaje de más de 4 MiB"
        code = self.connection.close_code
        reason = f" («{self.connection.close_reason}»)" if self.connection.close_reason else ""
        received = (
            "la conexión se cortó sin trama de cierre (1006)"
            if code == 1006
            else f"cierre con el código {code}{reason}"
        )
        transcript.add(self.target.name, self.name, "close", received)
        return received

    async def _why_silent(self, error: Exception) -> str:
        if isinstance(error, ConnectionClosed):
            return await self.target.explain(self._note_close())
        return await self.target.explain("el servidor ha dejado de leer")


async def _connect(target: Target, path: str, buffer: int | None, **options: Any) -> ClientConnection:
    """Una conexión por donde escuche la app, sin pasar por ningún proxy de esta máquina."""
    address = target.address
    sock = None if buffer is None else await connected_socket(address, buffer)
    if address.path:
        where = {"path": address.path} if sock is None else {"sock": sock}
        return await unix_connect(uri=f"ws://app{path}", **where, **options)
    return await connect(f"ws://{address.host}:{address.port}{path}", sock=sock, proxy=None, **options)


def _refusal(error: BaseException, within: float) -> str:
    match error:
        case InvalidStatus(response=response):
            body = shorten(bytes(response.body or b"").decode("utf-8", "replace").strip(), 120)
            return f"HTTP {response.status_code}" + (f": {body}" if body else "")
        case TimeoutError():
            return f"ninguna respuesta en {within:g} s"
        case OSError() | EOFError() | InvalidMessage():
            return "la conexión se cortó"
        case _:
            return f"un apretón de manos inválido: {error}"
