"""Los controles que se califican, recogidos una vez: de aquí sale por `fork` cada sesión, que ya solo los ejecuta.

Recogerlos cuesta más que ejecutar los de un ejercicio corto. Esto es un proceso caliente más: corre dentro de pytest,
justo cuando ha terminado de recoger, y atiende peticiones (`warm.serve`) por el socket que le dan.
"""

import contextlib
import gc
import io
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

from taller.checking.plugin import SessionHooks, run_pytest
from taller.runner.warm import serve

Notify = Callable[[dict[str, Any]], None]

_control: socket.socket | None = None
_notify: Notify = print
_collected: pytest.Session | None = None


def collected() -> pytest.Session:
    """La sesión de pytest en cuyo `fork` estamos."""
    assert _collected
    return _collected


def pytest_collection_finish(session: pytest.Session) -> None:
    """Lo llama pytest. No vuelve hasta que nadie va a pedir nada más."""
    global _collected
    assert _control
    _collected = session
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    _notify({"event": "ready"})
    with contextlib.suppress(ConnectionResetError):
        serve(_control)
    session.items.clear()


def main(payload: dict[str, Any], control: socket.socket | None, notify: Notify) -> int:
    """Recoge los controles de `payload["check_files"]` y atiende las peticiones que lleguen por `control`."""
    global _control, _notify
    _control, _notify = control, notify
    how = ["-q", "--no-header", "--tb=native", "--capture=no"]
    plugins = ["-p", "taller.grading.fixtures", "-p", "taller.grading.template"]
    with contextlib.redirect_stdout(io.StringIO()):
        return run_pytest([*payload["check_files"], *how, *plugins], SessionHooks())
