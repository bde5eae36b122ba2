"""Lo que corre para arrancar un servidor dentro de una jaula: deja su sitio a otro programa."""

import os
from typing import Any

from taller.runner.serve import Notify


def main(payload: dict[str, Any], _listener: None, notify: Notify) -> int:
    """Pasa a ser `payload["argv"]`, que hereda la salida."""
    notify({"event": "ready"})
    os.execv(payload["argv"][0], payload["argv"])
