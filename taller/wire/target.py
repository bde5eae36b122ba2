"""A quién hablan los clientes: una dirección, su nombre en la transcripción y quién explica un silencio."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from taller.runner import Address

# Los plazos del curso están pensados para una máquina desocupada; esto los estira a la vez en una lenta.
DEADLINE = 1.0


def patience(seconds: float) -> float:
    """El plazo ajustado a esta máquina: `TALLER_PACIENCIA` (por defecto 1) lo multiplica."""
    return seconds * float(os.environ.get("TALLER_PACIENCIA", "1"))


async def _no_diagnosis() -> str:
    return ""


@dataclass(frozen=True)
class Target:
    """Un servidor al que hablar.

    `diagnose` devuelve por qué puede no haber contestado («tu app terminó con el código 1»), o `""`.
    """

    address: Address
    name: str = "app"
    diagnose: Callable[[], Awaitable[str]] = _no_diagnosis

    async def explain(self, received: str) -> str:
        """`received` seguido del diagnóstico, si lo hay."""
        reason = await self.diagnose()
        return f"{received}; {reason}" if reason else received
