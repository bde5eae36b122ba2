"""El experimento de las etiquetas: mil usuarios, con su nombre en una etiqueta y sin él."""

import time
import tracemalloc

from prometheus_client import CollectorRegistry, Counter, generate_latest
from pydantic import BaseModel

PER_USER = 5


class Cost(BaseModel):
    """Lo que cuesta una métrica: series, bytes de `/metrics`, milisegundos en escribirlos y memoria, en bytes."""

    series: int
    page_bytes: int
    page_ms: float
    memory: int


def cost(users: int, *, labelled: bool) -> Cost:
    """Cinco mensajes de cada uno de `users` usuarios, contados en un registro propio."""
    tracemalloc.start()
    registry = CollectorRegistry()
    names = ["direction", "user"] if labelled else ["direction"]
    messages = Counter("websocket_messages_total", "Mensajes.", names, registry=registry)
    for number in range(users):
        for _ in range(PER_USER):
            messages.labels(*(["sent", f"user-{number}"] if labelled else ["sent"])).inc()
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    started = time.perf_counter()
    page = generate_latest(registry)
    elapsed = (time.perf_counter() - started) * 1000
    series = sum(not line.startswith(b"#") and b"_created" not in line for line in page.splitlines())
    return Cost(series=series, page_bytes=len(page), page_ms=elapsed, memory=memory)
