"""Dónde viven los servidores: carpetas de ruta corta, puertos libres y el usuario que puede usarlos."""

import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

from taller.services.errors import ServiceError
from taller.short_paths import short_root

LOOPBACK = "127.0.0.1"
# Crear una base son 300 ficheros: en memoria tarda la décima parte que en un disco ocupado.
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2**30


def scratch_directory(owner: int | None = None, in_memory: bool = False) -> Path:
    """Una carpeta nueva, privada y de ruta corta, del usuario `owner` si se da; en RAM si se pide y cabe."""
    path = Path(tempfile.mkdtemp(prefix="taller-servicio-", dir=_scratch_root(owner, in_memory)))
    if owner is not None:
        os.chown(path, owner, owner)
        path.chmod(0o711)  # se pasa, si se sabe el nombre; no se lista
    return path


def _scratch_root(owner: int | None, in_memory: bool) -> str:
    if in_memory and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES:
        return str(MEMORY)
    return "/tmp" if os.name != "nt" and owner is not None else short_root()


def data_directory(path: Path, owner: int | None = None) -> Path:
    """La carpeta `path`, creada si falta y del usuario `owner` si se da. Si no puede ser, ServiceError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(
            f"No se puede usar la carpeta {path} ({error.strerror}). Mírala con: ls -ld {path}"
        ) from None
    if owner is not None:
        require_passage(path)
        os.chown(path, owner, owner)
    return path.resolve()


def free_port(preferred: int = 0) -> int:
    """`preferred` si nadie lo usa; si no, otro puerto libre de 127.0.0.1."""
    try:
        with socket.create_server((LOOPBACK, preferred)) as probe:
            port: int = probe.getsockname()[1]
            return port
    except OSError:
        return free_port()


def unprivileged_user() -> int | None:
    """El usuario con que correr lo que se niega a correr como root (`nobody`); None si no somos root."""
    if os.name == "nt" or os.geteuid() != 0:
        return None
    import pwd

    return pwd.getpwnam("nobody").pw_uid


def require_passage(path: Path) -> None:
    """ServiceError si otro usuario no puede llegar hasta `path` por sus carpetas madre."""
    for parent in path.absolute().parents:
        if not parent.stat().st_mode & stat.S_IXOTH:
            raise ServiceError(
                f"PostgreSQL no corre como root, y el usuario «nobody» no puede entrar en {parent}. "
                f"Déjale pasar con: chmod o+x {parent}"
            )


def on_path(*names: str) -> Path | None:
    """El primer programa de `names` que está en PATH."""
    return next((Path(found) for name in names if (found := shutil.which(name))), None)
