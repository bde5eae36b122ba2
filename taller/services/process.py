"""Un proceso hijo que muere con nosotros, también si nos matan con SIGKILL (lo cuida `supervisor.py`)."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from taller.patience import patience
from taller.services import supervisor
from taller.services.errors import ServiceError

REPLY_SECONDS = 15.0
EXIT_SECONDS = 10.0


class Process:
    """Los mandos de un servidor: arrancarlo, señalarlo, detenerlo y saber si vive. Uno a la vez."""

    def __init__(self, guard: asyncio.subprocess.Process, inherited: Sequence[int] = ()) -> None:
        self._guard = guard
        self._inherited = inherited
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._exited = asyncio.Event()
        self._exited.set()
        self.pid: int | None = None
        self.code: int | None = None

    async def listen(self) -> None:
        """Sigue lo que cuenta el vigilante hasta que este se va."""
        assert self._guard.stdout
        async for line in self._guard.stdout:
            self._note(json.loads(line))
        self._note({"code": -9})
        self._events.put_nowait({"error": "el proceso que vigila al servidor ha terminado"})

    def _note(self, event: dict[str, Any]) -> None:
        if "code" in event:
            self.pid, self.code = None, event["code"]
            self._exited.set()
            return
        if "pid" in event:
            self.pid, self.code = event["pid"], None
            self._exited.clear()
        self._events.put_nowait(event)

    async def reply(self) -> dict[str, Any]:
        """La siguiente respuesta del vigilante. ServiceError si no puede cumplir el encargo."""
        try:
            async with asyncio.timeout(patience(REPLY_SECONDS)):
                event = await self._events.get()
        except TimeoutError:
            raise ServiceError(
                f"Esta máquina tarda más de {REPLY_SECONDS:g} s en arrancar un servidor. Repite la misma orden"
            ) from None
        if "error" in event:
            raise ServiceError(
                f"No se puede arrancar el servidor: {event['error']}. Prepara el curso con: python3 curso.py"
            )
        return event

    @property
    def running(self) -> bool:
        """Si el servidor vive (aunque esté en pausa)."""
        return self.pid is not None

    async def start(self, argv: list[str], log: Path, user: int | None = None, text: str = "") -> None:
        """Arranca `argv`, con `text` por su entrada y su salida añadida a `log`, como el usuario `user`."""
        assert self._guard.stdin
        order = {"argv": argv, "log": str(log), "user": user, "input": text, "inherited": list(self._inherited)}
        self._guard.stdin.write(json.dumps(order).encode() + b"\n")
        await self.reply()

    async def exited(self, seconds: float | None = EXIT_SECONDS) -> int:
        """Espera a que el servidor termine y devuelve su código de salida. TimeoutError si no termina.

        Con `seconds` a None espera lo que haga falta.
        """
        async with asyncio.timeout(seconds):
            await self._exited.wait()
        return self.code or 0

    async def exits_within(self, seconds: float) -> bool:
        """Si termina, o ha terminado ya, en `seconds`."""
        try:
            await self.exited(seconds)
        except TimeoutError:
            return False
        return True

    def signal(self, number: int) -> None:
        """Envía una señal al servidor, si vive."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def pause(self) -> None:
        """SIGSTOP al servidor y a todos sus hijos."""
        if self.pid is not None:
            supervisor.pause_tree(self.pid)

    def resume(self) -> None:
        """SIGCONT al servidor y a todos sus hijos."""
        if self.pid is not None:
            supervisor.resume_tree(self.pid)

    async def kill(self) -> None:
        """SIGKILL al servidor y a todos sus hijos; vuelve cuando no queda ninguno."""
        if self.pid is None:
            return
        tree = supervisor.kill_tree(self.pid)
        await self.exited()
        await asyncio.to_thread(supervisor.wait_gone, tree)


async def _launch(
    scratch: Path, lock: Path | None, farewell: int, env: Mapping[str, str], inherited: Sequence[int]
) -> asyncio.subprocess.Process:
    # Sin las variables PG*, que cambiarían el puerto o la carpeta, y con los registros siempre en inglés.
    environment = {key: value for key, value in env.items() if not key.startswith("PG")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", supervisor.__file__, str(scratch), str(lock or ""), str(int(farewell))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment | {"LC_ALL": "C"},
        pass_fds=inherited,
        start_new_session=True,  # Ctrl+C en la terminal es asunto nuestro, no del servidor
    )


@asynccontextmanager
async def supervised(
    scratch: Path,
    lock: Path | None,
    farewell: int,
    *,
    env: Mapping[str, str] = os.environ,
    inherited: Sequence[int] = (),
) -> AsyncIterator[Process]:
    """Un `Process` aún sin arrancar. Al salir no quedan ni el servidor ni la carpeta `scratch`.

    Con `lock`, ese fichero reserva una carpeta de datos: ServiceError si ya la usa otro. `farewell` es la
    señal con que se despide al servidor al salir, antes de matarlo. `env` es su entorno, e `inherited` los
    descriptores que hereda de nosotros, como un socket que ya escucha.
    """
    try:
        guard = await _launch(scratch, lock, farewell, env, inherited)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    process = Process(guard, inherited)
    listener = asyncio.create_task(process.listen())
    try:
        if not (await process.reply())["ready"]:
            raise ServiceError(f"Otro servidor ya usa {lock}: ciérralo, o mira quién es con: fuser {lock}")
        yield process
    finally:
        # Cerrar su entrada es todo el encargo: aunque cancelen las esperas que siguen, el vigilante limpia.
        assert guard.stdin
        guard.stdin.close()
        await listener
        await guard.wait()
