"""Las métricas que dicen la verdad, y los bloques `with` que las mantienen. Lo primero es lo de `pasos/paso_5.py`."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import WebSocketDisconnect
from prometheus_client import Counter, Gauge, Histogram

# region definir
CONNECTIONS = Gauge("websocket_connections", "Conexiones abiertas ahora.", multiprocess_mode="livesum")
MESSAGES = Counter("websocket_messages_total", "Mensajes por WebSocket.", ["direction"])
RECEIVED, SENT = MESSAGES.labels("received"), MESSAGES.labels("sent")
LATENCY = Histogram(
    "websocket_message_latency_seconds",
    "Desde que llega un mensaje hasta que sale su última respuesta.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
ERRORS = Counter("websocket_connection_errors_total", "Conexiones que acaban mal.", ["reason"])
ERROR = {reason: ERRORS.labels(reason) for reason in ("dropped", "invalid", "server")}
# endregion


class Invalid(Exception):
    """Ha llegado algo que no es un mensaje."""


# region contar
POLITE = (1000, 1001)


@contextmanager
def counted() -> Iterator[None]:
    """Una conexión mientras dura el bloque y, si acaba mal, por qué."""
    with CONNECTIONS.track_inprogress():
        try:
            yield
        except WebSocketDisconnect as gone:
            if gone.code not in POLITE:
                ERROR["dropped"].inc()
            raise
        except Invalid:
            ERROR["invalid"].inc()
            raise
        except Exception:
            ERROR["server"].inc()
            raise


# endregion

QUEUED_BYTES = Gauge("websocket_queued_bytes", "Bytes de respuestas en cola.", multiprocess_mode="livesum")

# region tareas
TASKS_QUEUED = Gauge("background_tasks_queued", "Tareas aceptadas sin empezar.", multiprocess_mode="livesum")
TASKS_RUNNING = Gauge("background_tasks_running", "Tareas empezadas y sin acabar.", multiprocess_mode="livesum")
TASKS = Counter("background_tasks_total", "Tareas acabadas.", ["status"])
COMPLETED, FAILED = TASKS.labels("completed"), TASKS.labels("failed")
TASK_WAIT = Histogram("background_task_wait_seconds", "Lo que espera una tarea en la cola.")
TASK_DURATION = Histogram("background_task_duration_seconds", "Lo que tarda en hacerse, sin la cola.")
# endregion

# region flujos
STREAMS = Gauge("sse_streams", "Flujos SSE abiertos ahora.", multiprocess_mode="livesum")
EVENTS = Counter("sse_events_total", "Eventos enviados por SSE.", ["event"])
DISCONNECTIONS = Counter("sse_disconnections_total", "Flujos SSE acabados.", ["reason"])
LEFT, ENDED = DISCONNECTIONS.labels("client"), DISCONNECTIONS.labels("server")


@contextmanager
def streaming() -> Iterator[None]:
    """Un flujo mientras dura el bloque. Si se va su cliente, el generador se cancela: `finally` se ejecuta igual."""
    reason = LEFT
    with STREAMS.track_inprogress():
        try:
            yield
            reason = ENDED
        finally:
            reason.inc()


# endregion
