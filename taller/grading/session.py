"""Una sesión de controles contra una app encerrada: los controles corren fuera de la jaula, pero en su red.

Por el socket que recibe le llegan dos descriptores: el primer proceso de la jaula y la carpeta que comparte.
"""

import os
import socket
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

from taller.checking.keys import ON_VERDICT, RUNNER
from taller.checking.plugin import told
from taller.checking.session import Session
from taller.grading.template import collected
from taller.runner import Runner
from taller.runner.confine import MIB, join_network, limit_memory
from taller.runner.confined import ConfinedProcess
from taller.verdicts import CheckVerdict
from taller.wire.transcript import shorten

MEMORY = 2048 * MIB
# Lo que llega lo ha escrito el código de la entrega: puede medir lo que quiera.
LONGEST = 2000
MOST_ENTRIES = 150


class GradingSession(Session):
    """Guarda lo justo: de un control superado, la transcripción no le hace falta a nadie."""

    folder = ""

    def on_verdict(self, verdict: CheckVerdict) -> None:
        entries = verdict.transcript[:MOST_ENTRIES] if verdict.status == "failed" else []
        super().on_verdict(
            replace(
                verdict,
                expected=shorten(self._tidy(verdict.expected), LONGEST),
                received=shorten(self._tidy(verdict.received), LONGEST),
                transcript=[replace(entry, text=self._tidy(entry.text)) for entry in entries],
            )
        )

    def _tidy(self, text: str) -> str:
        """Sin la carpeta en la que está la entrega: cambia cada vez, y no es de quien entrega."""
        return text.replace(f"{self.folder}/", "")


def main(payload: dict[str, Any], channel: socket.socket | None, notify: Callable[[dict[str, Any]], None]) -> NoReturn:
    """Ejecuta los controles de `payload["check_file"]`; las apps nacen en la jaula, con su usuario `payload["uid"]`.

    Corre en un `fork` de quien los ha recogido (`template`), y no vuelve a él.
    """
    code = 1
    try:
        assert channel
        with channel:
            _, (cell, shared), _, _ = socket.recv_fds(channel, 1, 2)
        join_network(cell)
        limit_memory(MEMORY)
        backend = ConfinedProcess(os.dup(payload["runner_fd"]), cell, payload["uid"], shared)
        run_checks(payload, GradingSession(Runner(backend), notify, None))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def run_checks(payload: dict[str, Any], grading: GradingSession) -> None:
    session, runner = collected(), grading.runner
    assert runner
    grading.folder = payload["folder"]
    session.config.option.de, session.config.option.semilla = payload["folder"], payload["seed"]
    session.config.stash[RUNNER], session.config.stash[ON_VERDICT] = runner, grading.on_verdict
    session.items[:] = [item for item in session.items if str(item.path) == payload["check_file"]]
    grading.on_collected(told(session.items))
    session.config.hook.pytest_runtestloop(session=session)
    grading.notify({"event": "finished", "code": 0})
    runner.close()
