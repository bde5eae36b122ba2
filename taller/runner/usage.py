"""Cuánto gasta una jaula, mirado desde fuera: si se pasa de memoria o de procesos, se cierra."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from mmap import PAGESIZE

LOOK_SECONDS = 0.2
MIB = 1024 * 1024
MOST_MEMORY, MOST_PROCESSES = 1536 * MIB, 120


@dataclass
class MemoryWatch:
    """Vigila los procesos que se ven en `listing`, un descriptor del `/proc` de la jaula."""

    listing: int
    trouble: str = ""

    async def run(self, close: Callable[[], None]) -> None:
        """Mira hasta que algo se pasa; entonces lo apunta y llama a `close`."""
        while not self.trouble:
            await asyncio.sleep(LOOK_SECONDS)
            self.trouble = self.look()
        close()

    def look(self) -> str:
        """Lo que está mal ahora mismo; vacío si nada."""
        processes = [entry for entry in os.listdir(self.listing) if entry.isdecimal()]  # noqa: PTH208 - un descriptor
        if len(processes) > MOST_PROCESSES:
            return f"El código de la entrega tenía más de {MOST_PROCESSES} procesos a la vez: se cortó."
        if sum(map(self._memory, processes)) > MOST_MEMORY:
            return f"El código de la entrega ocupó más de {MOST_MEMORY // MIB} MiB de memoria: se cortó."
        return ""

    def _memory(self, process: str) -> int:
        """Los bytes que un proceso tiene para él; los de sus archivos, como el intérprete, son de todos."""
        try:
            descriptor = os.open(f"{process}/statm", os.O_RDONLY, dir_fd=self.listing)
        except OSError:
            return 0
        try:
            _, resident, shared = map(int, os.read(descriptor, 200).split()[:3])
        except OSError:
            return 0
        finally:
            os.close(descriptor)
        return (resident - shared) * PAGESIZE
