"""Clientes HTTP, WebSocket y SSE para los controles: con plazo en cada espera y todo en la transcripción."""

from taller.wire.compare import ANY, Approx, Matching, OneOf, difference
from taller.wire.event_stream import SseEvent
from taller.wire.http import HttpClient
from taller.wire.mismatch import Mismatch
from taller.wire.raw import Handshake, RawSocket, handshake
from taller.wire.sse import SseClient
from taller.wire.target import Target
from taller.wire.transcript import Transcript, transcript
from taller.wire.websocket import WebSocketClient

__all__ = [
    "ANY",
    "Approx",
    "Handshake",
    "HttpClient",
    "Matching",
    "Mismatch",
    "OneOf",
    "RawSocket",
    "SseClient",
    "SseEvent",
    "Target",
    "Transcript",
    "WebSocketClient",
    "difference",
    "handshake",
    "transcript",
]
