"""Las métricas de Plaza, con los nombres que pide Prometheus.

Con PROMETHEUS_MULTIPROC_DIR suman las de todos los procesos de la máquina: prometheus_client lo decide al importarse,
así que la variable tiene que estar puesta antes de arrancar.
"""

import os
from pathlib import Path
from typing import Any

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

PREFIX = "plaza_"
DELIVERY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5)

connections = Gauge("plaza_connections", "Conexiones abiertas", ["transport"], multiprocess_mode="livesum")
opened = Counter("plaza_connections_opened_total", "Conexiones que se han abierto", ["transport"])
disconnects = Counter("plaza_disconnects_total", "WebSockets cerrados, por código", ["code"])
# El código de un cierre lo elige el cliente: los que no conocemos son uno solo, o habría una serie por cada uno.
CLOSE_CODES = {1000, 1001, 1003, 1006, 1008, 1009, 1011, 1012, 4001, 4008, 4029}
published = Counter("plaza_messages_published_total", "Mensajes guardados y anunciados")
delivered = Counter("plaza_messages_delivered_total", "Sucesos escritos en una conexión", ["transport"])
delivery = Histogram(
    "plaza_delivery_duration_seconds",
    "De recibir un mensaje a escribirlo en la última conexión de este proceso",
    buckets=DELIVERY_BUCKETS,
)
outbox_bytes = Gauge("plaza_outbox_bytes", "Bytes que esperan en las bandejas", multiprocess_mode="livesum")
slow_consumers = Counter("plaza_slow_consumers_total", "Conexiones expulsadas por lentas")
recoveries = Counter("plaza_recoveries_total", "Reconexiones con posición", ["result"])
rate_limited = Counter("plaza_rate_limited_total", "Peticiones rechazadas por exceso")
degradations = Counter("plaza_degradations_total", "Avisos que bajaron de canal", ["from", "to"])
# La ve igual cada proceso: no se suma.
tasks_queued = Gauge("plaza_tasks_queued", "Tareas en espera", multiprocess_mode="livemostrecent")
tasks = Counter("plaza_tasks_total", "Tareas terminadas", ["status"])
task_duration = Histogram("plaza_task_duration_seconds", "Lo que tarda una tarea")
cache_requests = Counter("plaza_cache_requests_total", "Lecturas de la caché", ["result"])
redis_reconnects = Counter("plaza_redis_reconnects_total", "Veces que se ha vuelto a encontrar Redis")

# Una serie que aún no existe no es un cero: ni una gráfica ni una alerta la verían nacer.
for family, values in (
    (connections, ("websocket", "sse")),
    (opened, ("websocket", "sse")),
    (delivered, ("websocket", "sse")),
    (recoveries, ("recovered", "lost")),
    (tasks, ("done", "failed")),
    (cache_requests, ("hit", "miss")),
):
    for value in values:
        family.labels(value)


def count_close(code: int) -> None:
    disconnects.labels(str(code) if code in CLOSE_CODES else "other").inc()


def render() -> bytes:
    """El texto de `/metrics`: de este proceso o, si son varios, de todos."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    _forget_the_dead(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _forget_the_dead(folder: Path) -> None:
    """Un proceso muerto de golpe deja escritas sus conexiones abiertas: alguien vivo tiene que borrarlas."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not _is_alive(pid):
            multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    if os.name != "posix":
        # La señal 0 solo pregunta en POSIX.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


Sample = tuple[str, dict[str, str], float]


def samples() -> list[Sample]:
    """Lo que lleva contado este proceso: nombre sin prefijo, etiquetas y valor."""
    return [
        (sample.name.removeprefix(PREFIX), dict(sample.labels), sample.value)
        for family in REGISTRY.collect()
        if family.name.startswith(PREFIX)
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


def nest(rows: list[Sample]) -> dict[str, Any]:
    """Las muestras como JSON: `{"connections": {"websocket": 3}, "messages_published_total": 9}`."""
    tree: dict[str, Any] = {}
    for name, labels, value in rows:
        *branches, leaf = [name, *labels.values()]
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
        node[leaf] = node.get(leaf, 0) + value
    return tree
