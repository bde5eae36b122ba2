"""La solución, con un final que no acaba."""

from pathlib import Path

from taller.catalog import ROOT

ENDLESS = """
import os
import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            while True:
                signal.pause()
        os._exit(0)


async def never() -> None:
    while True:
        pass


app.router.on_shutdown.append(never) if hasattr(app.router, "on_shutdown") else None
"""


def build(target: Path) -> None:
    target.joinpath("02_websockets").mkdir(parents=True)
    solution = (ROOT / "solutions" / "02_websockets" / "e1_eco.py").read_text(encoding="utf-8")
    target.joinpath("02_websockets", "e1_eco.py").write_text(solution + ENDLESS, encoding="utf-8")
