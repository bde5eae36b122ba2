"""Lo que corre para ejecutar un módulo del estudiante una vez: lo mismo que `python -m paquete.módulo`."""

import runpy
import sys
from typing import Any

from taller.runner.serve import Notify, settle_in


def main(payload: dict[str, Any], _listener: None, notify: Notify) -> int:
    """Ejecuta `payload["target"]` desde `payload["folder"]`; devuelve 0, o el código con el que salga él."""
    settle_in(payload["folder"])
    sys.argv = [payload["target"]]
    notify({"event": "ready"})
    runpy.run_module(payload["target"], run_name="__main__", alter_sys=True)
    return 0
