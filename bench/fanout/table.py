"""Lo medido, como una tabla de Markdown."""

import math
import os
import platform
from collections.abc import Iterable, Sequence

from fanout.client import Outcome


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---", *("---:" for _ in headers[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def thousands(number: float) -> str:
    """«200 000»: en español se separan con un espacio, que aquí no se parte."""
    return f"{number:,.0f}".replace(",", "\u00a0")


def decimal(number: float, places: int = 1) -> str:
    return f"{number:.{places}f}".replace(".", ",")


def milliseconds(seconds: float | None) -> str:
    """«—» si el mensaje que ocupa ese lugar no llegó ni con prórroga."""
    return "—" if seconds is None else decimal(seconds * 1000, 0 if seconds >= 0.01 else 1)


def cost(outcome: Outcome) -> float:
    """Microsegundos de CPU del servidor por entrega."""
    return outcome.server_cpu / outcome.delivered * 1e6 if outcome.delivered else math.inf


def outcome_cells(outcome: Outcome) -> list[str]:
    arrived = 1 - outcome.missing / outcome.expected
    return [
        thousands(outcome.delivered / outcome.seconds),
        f"{decimal(math.floor(arrived * 1000) / 10)} %",
        milliseconds(outcome.p50),
        milliseconds(outcome.p99),
        decimal(cost(outcome)),
        f"{outcome.server_cpu / outcome.seconds:.0%}".replace("%", " %"),
        f"{outcome.client_cpu / outcome.seconds:.0%}".replace("%", " %"),
    ]


READING = """\
«Llegó» es la parte de lo enviado que llegó, como mucho, cinco segundos después del último envío; «—» es que lo que
ocupa ese lugar no llegó. La CPU es la de un núcleo: con el cliente al 100 %, el límite es el cliente. Los rivales
reparten lo que les llega, y nada más; Plaza, antes, comprueba quién habla y si va demasiado deprisa, lo numera, lo
guarda en PostgreSQL y lo pasa por Valkey, y lo que se junta para cada conexión sale en una trama. Django Channels va
con su capa en memoria, sin Redis de por medio; Node, sin compresión, como los demás. La memoria es lo que crece la
residente del servidor por cada conexión que se abre.
"""
OUTCOME_HEADERS = ["entregas/s", "llegó", "p50 ms", "p99 ms", "µs de CPU por entrega", "CPU servidor", "CPU cliente"]


def machine() -> str:
    """Dónde se ha medido, y si estaba ocupado: con otros programas en marcha las cifras no valen."""
    load = f", carga al empezar {decimal(os.getloadavg()[0], 2)}" if hasattr(os, "getloadavg") else ""
    return f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} núcleos{load}"
