"""La plantilla de PostgreSQL: crear una base tarda segundos, y copiarla, centésimas."""

import asyncio
import os
from pathlib import Path

from taller.services import postgres


async def make_template(folder: Path) -> Path:
    """Prepara en `folder` los datos de un servidor recién creado y parado; los puede leer cualquier usuario."""
    # Como root, PostgreSQL corre con otro usuario, que tiene que poder llegar hasta aquí.
    await asyncio.to_thread(folder.chmod, 0o711)
    async with postgres(folder / "postgres"):
        pass
    data = folder / "postgres" / "datos"
    await asyncio.to_thread(_let_read, data)
    return data


def _let_read(folder: Path) -> None:
    for path, _, files in os.walk(folder):
        Path(path).chmod(0o755)
        for name in files:
            Path(path, name).chmod(0o644)
