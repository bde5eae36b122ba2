"""La línea de órdenes: una capa fina sobre las demás partes."""

from taller.cli.main import main

__all__ = ["main"]
