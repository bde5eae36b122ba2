"""Qué Plaza se pone en marcha, dónde escucha y dónde guarda sus datos."""

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from taller.catalog import ROOT, source_folder
from taller.errors import TallerError
from taller.services.places import LOOPBACK, data_directory, free_port

SLUG, PACKAGE = "10_proyecto", "plaza"
DATA = ROOT / ".taller" / "plaza"
USUAL_PORT = 8080
# Un cliente que no lee deja su conexión a medio vaciar, y cerrarla esperaría por él sin fin: la corta el núcleo.
STALLED_MS = 15_000


class ProjectError(TallerError):
    """Plaza no se puede poner en marcha; el mensaje termina con la siguiente orden que escribir."""


@dataclass(frozen=True)
class Plan:
    """`data` es None si los datos son de usar y tirar; `port`, si vale cualquiera."""

    source: str = "soluciones"
    port: int | None = None
    processes: int = 2
    data: Path | None = DATA

    @property
    def command(self) -> str:
        """La orden que repite este plan."""
        source = "" if self.source == "soluciones" else f" --de {self.source}"
        return f"python3 curso.py proyecto{source}{'' if self.data else ' --temporal'}"

    def code(self) -> Path:
        """La carpeta que contiene el paquete.

        Raises:
            ProjectError: ahí no está.
        """
        folder = source_folder(self.source) / SLUG
        if not (folder / PACKAGE / "main.py").exists():
            raise ProjectError(f"No hay ninguna Plaza en {folder}. Arranca la resuelta: python3 curso.py proyecto")
        return folder

    def listen(self) -> socket.socket:
        """El socket que comparten los procesos web.

        Raises:
            ProjectError: el puerto está ocupado, o el sistema no lo deja usar.
        """
        try:
            listener = socket.create_server((LOOPBACK, self.port or free_port(USUAL_PORT)), backlog=1024)
        except OSError as error:
            another = f"{self.command} --puerto {free_port(USUAL_PORT)}"
            raise ProjectError(
                f"No se puede usar el puerto {self.port} ({error.strerror}). Prueba otro: {another}"
            ) from None
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
        return listener

    def folder_for(self, name: str) -> Path | None:
        """Dónde guarda sus datos un servidor; None si no los guarda."""
        return data_directory(self.data) / name if self.data else None

    def logs(self) -> Path | None:
        """Dónde se conserva lo que dicen sus programas; None si no se conserva."""
        return data_directory(self.data / "registros") if self.data else None

    def secret(self) -> str:
        """El que firma las sesiones; se conserva con los datos, y así siguen abiertas mañana."""
        if self.data is None:
            return secrets.token_urlsafe(32)
        path = data_directory(self.data) / "secreto"
        try:
            if not path.exists() or not path.read_text():
                path.touch(0o600)
                path.write_text(secrets.token_urlsafe(32))
            return path.read_text()
        except OSError as error:
            raise ProjectError(f"No se puede usar {path} ({error.strerror}). Míralo con: ls -l {path}") from None


def require_system() -> None:
    """ProjectError donde los procesos no pueden heredar un socket."""
    if os.name == "nt":
        raise ProjectError("En Windows, Plaza se arranca con Docker: docker compose up --build")
