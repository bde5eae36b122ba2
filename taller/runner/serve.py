"""Lo que corre dentro del proceso del estudiante: carga su app como lo haría uvicorn y la sirve.

Avisa con `{"event": "ready"}` cuando atiende conexiones, o con `{"event": "failed", "reason": …}` y el
porqué, dicho para quien escribió el archivo.
"""

import faulthandler
import gc
import importlib
import itertools
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

Notify = Callable[[dict[str, Any]], None]


class UvicornRunAtImport(Exception):
    """El archivo arranca su propio servidor al cargarse."""


def main(payload: dict[str, Any], listener: socket.socket, notify: Notify) -> int:
    """Sirve `payload["target"]` (`módulo:app`) desde `payload["folder"]`; devuelve el código de salida."""
    settle_in(payload["folder"])
    uvicorn.run = _refuse_to_run
    config = AnnouncedConfig(payload["target"], notify=notify, folder=payload["folder"], **payload["uvicorn"])
    AnnouncedServer(config, notify).run(sockets=[listener])
    return 0


def settle_in(folder: str) -> None:
    """Deja el proceso como si el programa se hubiera arrancado desde `folder`."""
    sys.path.insert(0, folder)
    os.chdir(folder)
    sys.dont_write_bytecode = True
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, all_threads=False)
    gc.enable()


def _refuse_to_run(*_: Any, **__: Any) -> None:
    raise UvicornRunAtImport


class AnnouncedConfig(uvicorn.Config):
    """Carga la app dentro del bucle de eventos, como `uvicorn módulo:app`, y avisa si no puede."""

    def __init__(self, target: str, *, notify: Notify, folder: str, **options: Any) -> None:
        super().__init__(target, **options)
        self.target, self.notify, self.folder = target, notify, folder

    def load(self) -> None:
        try:
            self.app = find_app(self.target)
        except BaseException as error:
            self.notify({"event": "failed", "reason": explain(error, self.folder)})
            traceback.print_exc()
            raise SystemExit(1) from None
        super().load()
        self.loaded_app = with_client_address(self.loaded_app)


class AnnouncedServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, notify: Notify) -> None:
        super().__init__(config)
        self.notify = notify

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            if self.lifespan.should_exit:
                reason = "Tu app falló en su lifespan, antes de empezar a atender: mira el error en la transcripción."
                self.notify({"event": "failed", "reason": reason})
            raise
        self.notify({"event": "ready"})


class NoAppError(Exception):
    pass


def find_app(target: str) -> Any:
    module_name, _, attribute = target.partition(":")
    module = importlib.import_module(module_name)
    app = getattr(module, attribute, None)
    if app is None:
        raise NoAppError(f"Tu archivo no define «{attribute}». Debe crear la app así: {attribute} = FastAPI()")
    if not callable(app):
        raise NoAppError(f"«{attribute}» no es una app de FastAPI, sino {type(app).__name__}.")
    return app


def with_client_address(app: ASGIApp) -> ASGIApp:
    """Por un socket Unix no hay dirección de cliente; un `request.client.host` no debe fallar por eso."""
    serial = itertools.count(49152)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            scope["client"] = scope.get("client") or ("127.0.0.1", next(serial))
        await app(scope, receive, send)

    return wrapped


def explain(error: BaseException, folder: str) -> str:
    """Por qué no se pudo cargar el archivo, en una frase para quien lo escribió."""
    where = _last_line_in(error, folder)
    match error:
        case NoAppError():
            return str(error)
        case UvicornRunAtImport():
            return (
                f"Tu archivo llama a uvicorn.run() al cargarse{where}. Quítalo: el taller ya arranca tu app "
                'por ti. O protégelo con if __name__ == "__main__":'
            )
        case SyntaxError(filename=str(name), lineno=line):
            return f"Error de sintaxis en {Path(name).name}, línea {line}: {error.msg}."
        case SystemExit():
            return f"Tu archivo termina el programa al cargarse (exit){where}."
        case ModuleNotFoundError():
            return f"No se encuentra el módulo «{error.name}»{where}."
        case _:
            return f"Tu archivo falla al cargarse: {type(error).__name__}: {error}{where}."


def _last_line_in(error: BaseException, folder: str) -> str:
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(folder):
            return f" (en {Path(frame.filename).name}, línea {frame.lineno})"
    return ""
