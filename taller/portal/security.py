"""Lo que protege al portal de otras páginas abiertas en el mismo navegador.

Escuchar en 127.0.0.1 no basta: cualquier web puede pedirle a tu navegador que llame a tu máquina. Aquí se
rechaza lo que llega con otro nombre de servidor (DNS rebinding) o desde otra página (Origin).
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_NAMES = ("127.0.0.1", "localhost")
SAFE_METHODS = ("GET", "HEAD")
STREAM_PATH = "/api/events"

# Cada mini-app escucha en un puerto libre de esta máquina que se elige al arrancarla.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "frame-src http://127.0.0.1:*",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
PROTECTION = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class OnlyThisMachine:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def protected_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in PROTECTION.items():
                    headers.setdefault(name, value)
            await send(message)

        trouble = refusal(scope)
        app = PlainTextResponse(trouble, 403) if trouble else self.app
        await app(scope, receive, protected_send)


def refusal(scope: Scope) -> str:
    """Por qué no se atiende una petición; vacío si se atiende."""
    headers = Headers(scope=scope)
    hosts = [f"{name}:{scope['server'][1]}" for name in LOCAL_NAMES]
    if headers.get("host") not in hosts:
        return f"El curso solo se abre desde esta máquina. Escribe en el navegador: http://{hosts[0]}"
    origin = headers.get("origin")
    guarded = scope["method"] not in SAFE_METHODS or scope["path"] == STREAM_PATH
    if guarded and origin is not None and origin not in [f"http://{host}" for host in hosts]:
        return f"Esa petición viene de otra página ({origin[:200]}). Usa el curso desde http://{hosts[0]}"
    return ""
