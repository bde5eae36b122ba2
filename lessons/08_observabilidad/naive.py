"""Las mismas métricas como salen en los apuntes: existen, se leen sin error y no dicen la verdad."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

# region apuntes
CONNECTIONS = Gauge("websocket_connections_total", "Total WebSocket connections", registry=REGISTRY)
MESSAGES = Counter("websocket_messages_total", "Total WebSocket messages", ["direction"], registry=REGISTRY)
LATENCY = Histogram("websocket_message_latency_seconds", "WebSocket message latency", registry=REGISTRY)


class Metrics:
    """Una por conexión: suma al nacer y resta al morir."""

    def __init__(self) -> None:
        CONNECTIONS.inc()

    def __del__(self) -> None:
        CONNECTIONS.dec()

    def sent(self) -> None:
        MESSAGES.labels(direction="sent").inc()


# endregion


# region sesion
class Session:
    """Lo que el servidor recuerda de una conexión. Ella conoce a su WebSocket, y su WebSocket a ella: un ciclo."""

    def __init__(self, websocket: object) -> None:
        self.websocket = websocket
        self.metrics = Metrics()


# endregion
