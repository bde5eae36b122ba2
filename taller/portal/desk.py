"""Los servicios para probar a mano, desde la página: Valkey, PostgreSQL y el buzón, mientras el curso esté abierto."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

from taller.services import Services, all_services

LOG_CHARACTERS = 4000

State = Literal["stopped", "starting", "running", "failed"]


@dataclass
class Desk:
    state: State = "stopped"
    reason: str = ""
    services: Services | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _holder: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Los deja en marcha, si no lo estaban; si no puede, `reason` dice por qué."""
        async with self._turn:
            if self._holder is None:
                self.state, self.reason = "starting", ""
                started = asyncio.Event()
                self._holder = asyncio.create_task(self._hold(started))
                self._holder.add_done_callback(lambda _: started.set())
                await started.wait()

    async def _hold(self, started: asyncio.Event) -> None:
        """Los tiene abiertos hasta que se cancela: todo entra y sale en la misma tarea."""
        try:
            async with all_services() as self.services:
                self.state = "running"
                started.set()
                await asyncio.Event().wait()
        except Exception as error:
            # Sea lo que sea, se dice, y se puede volver a intentar.
            self.state, self.reason, self._holder = "failed", str(error) or type(error).__name__, None
        finally:
            self.services = None

    async def stop(self) -> None:
        async with self._turn:
            holder, self._holder = self._holder, None
            if holder is not None:
                holder.cancel()
                await asyncio.wait([holder])
            self.state, self.reason = "stopped", ""

    def to_json(self) -> dict[str, Any]:
        return {"state": self.state, "reason": self.reason, "inbox": self._inbox(), "servers": self._servers()}

    def _inbox(self) -> str:
        return (self.services and self.services.inbox_url) or ""

    def _servers(self) -> list[dict[str, str]]:
        if self.services is None:
            return []
        own = (self.services.valkey, self.services.postgres)
        servers = [_server(server.name, server.variable, server.url, server.log) for server in own]
        return [*servers, _server("Correo", "SMTP_URL", self.services.mailbox.url)]


def _server(name: str, variable: str, url: str, log: str = "") -> dict[str, str]:
    return {"name": name, "variable": variable, "url": url, "log": log[-LOG_CHARACTERS:]}
