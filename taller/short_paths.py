"""Carpetas temporales para sockets Unix, cuya ruta no puede pasar de 104 bytes en macOS ni de 108 en Linux."""

import os
import tempfile
from pathlib import Path

LONGEST_ROOT = 64


def short_root() -> str:
    """La carpeta temporal del sistema o, si su ruta es demasiado larga para lo que irá dentro, /tmp."""
    root = tempfile.gettempdir()
    return "/tmp" if os.name != "nt" and len(root) > LONGEST_ROOT else root


def socket_folder() -> Path:
    """Una carpeta nueva para sockets. La borra quien la pide."""
    return Path(tempfile.mkdtemp(prefix="taller-", dir=short_root()))
