"""Lo que las pruebas del calificador miran desde fuera de las jaulas."""

import time
from pathlib import Path

import pytest

from taller.runner.sandbox import SandboxError, find_bubblewrap

GONE_SECONDS = 20.0


def require_bubblewrap() -> None:
    """Sin bubblewrap no hay nada que probar; la razón, con su remedio, sale en el resumen."""
    try:
        find_bubblewrap()
    except SandboxError as missing:
        pytest.skip(str(missing), allow_module_level=True)


def leftovers(scratch: Path, *known: str) -> list[str]:
    """Lo que queda de las jaulas, tras dar un momento al núcleo: procesos con algo nuestro montado, y archivos."""
    limit = time.monotonic() + GONE_SECONDS
    while (left := [*processes(scratch), *files(scratch, known)]) and time.monotonic() < limit:
        time.sleep(0.05)
    return left


def files(scratch: Path, known: tuple[str, ...]) -> list[str]:
    return [path.name for path in scratch.iterdir() if not (known and path.name.startswith(known))]


def processes(scratch: Path) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            mounted = str(scratch) in (folder / "mountinfo").read_text()
            told = str(scratch).encode() in (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            if (mounted or told) and not _waits_for_nobody(folder):
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def _waits_for_nobody(folder: Path) -> bool:
    """Un bwrap cuya jaula ya murió: si matan a quien lo arrancó justo mientras nace, no se entera y se queda solo."""
    bwrap = b"bwrap\0" in (folder / "cmdline").read_bytes()[:40]
    children = (folder / "task" / folder.name / "children").read_text()
    return bwrap and not children.strip()
