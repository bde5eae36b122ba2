"""A quién hablan los clientes: una dirección, su nombre en la transcripción y quién explica un silencio."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from taller.runner import Address

DEADLINE = 1.0


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
