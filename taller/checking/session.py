"""Una sesión de controles dentro de un proceso ya caliente: lo que corre tras el `fork`.

Avisa con `{"event": "collected", "checks": [{"number", "name", "title", "points"…}…]}`, con un
`{"event": "check", "check": {…veredicto…}}` por control y con `{"event": "finished", "code": n}`.
"""

import contextlib
import io
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taller.catalog import ROOT
from taller.checking.plugin import SessionHooks, run_pytest
from taller.runner import Runner
from taller.runner.runner import can_fork
from taller.verdicts import CheckVerdict

Notify = Callable[[dict[str, Any]], None]


class Session(SessionHooks):
    """Una sesión que cuenta lo que pasa a quien la pidió y que puede esperar su señal antes de empezar."""

    def __init__(self, runner: Runner | None, notify: Notify, signal: socket.socket | None) -> None:
        self.runner, self.notify, self.signal = runner, notify, signal

    def on_collected(self, checks: list[dict[str, Any]]) -> None:
        self.notify({"event": "collected", "checks": checks})
        if self.signal is None:
            return
        if self.runner is not None:
            self.runner.reserve()
        if not self.signal.recv(1):
            raise SystemExit(0)

    def on_verdict(self, verdict: CheckVerdict) -> None:
        self.notify({"event": "check", "check": verdict.to_json()})


def main(payload: dict[str, Any], signal: socket.socket | None, notify: Notify) -> int:
    """Ejecuta `payload["arguments"]` con pytest, sobre el ejecutor heredado `payload["runner_fd"]`.

    Con `signal`, deja los controles recogidos y espera un byte por él: así un veredicto empieza sin demora.
    """
    runner = inherited_runner(payload["runner_fd"])
    forget_checks()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = run_pytest(payload["arguments"], Session(runner, notify, signal))
    if code > 1:
        # Ni aprobado ni suspendido: los controles no se pudieron ejecutar, y hay que poder ver por qué.
        print(output.getvalue())
    notify({"event": "finished", "code": code})
    if runner is not None:
        runner.close()
    return code


def warm_up() -> None:
    """Recoge una vez los controles: pytest carga sus complementos y queda compilado todo lo de `checks/`."""
    with contextlib.redirect_stdout(io.StringIO()):
        run_pytest(["--collect-only", "-q", str(ROOT / "checks")], SessionHooks())


def forget_checks() -> None:
    """Que se carguen los controles que haya ahora en el disco, y no los que recogió el proceso caliente."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(ROOT / "checks"):
            del sys.modules[name]


def inherited_runner(fd: int | None) -> Runner | None:
    if fd is None or not can_fork():
        return None
    from taller.runner.forked import WarmProcess

    return Runner(WarmProcess.inherit(fd))
