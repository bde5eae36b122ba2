"""Peticiones HTTP con plazo, cuerpo acotado y todo en la transcripción."""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

from taller.patience import patience
from taller.wire.compare import difference, show
from taller.wire.mismatch import Mismatch
from taller.wire.target import DEADLINE, Target
from taller.wire.transcript import shorten, transcript

MAX_BODY = 8 * 1024 * 1024
POLL_SECONDS = 0.01

# Las apps hablan HTTP sin cifrar: un contexto vacío ahorra cargar los certificados en cada petición.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class HttpClient:
    """Un cliente sin estado: una conexión nueva por petición, para no arrastrar las de un proceso que murió."""

    def __init__(self, target: Target, name: str = "cliente") -> None:
        self.target, self.name = target, name

    async def request(
        self, method: str, path: str, *, within: float = DEADLINE, status: Any = None, **options: Any
    ) -> httpx.Response:
        """La respuesta entera; `status` es el código que debe traer (o un patrón), si importa.

        Raises:
            Mismatch: no llega en `within` segundos, pesa más de `MAX_BODY` o trae otro código.
        """
        async with self.stream(method, path, within=within, **options) as response:
            found = None if status is None else difference(status, response.status_code)
            wanted = f"{method} {path} → {show(status)}" if found else f"la respuesta completa a {method} {path}"
            body = await self._read(response, wanted, within)
        whole = httpx.Response(response.status_code, headers=_plain(response.headers), content=body)
        transcript.add(self.target.name, self.name, "http", _summary(whole))
        if found:
            raise Mismatch(wanted, f"{_summary(whole)} (se esperaba {found})")
        return whole

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, path: str, *, within: float = DEADLINE, **options: Any
    ) -> AsyncIterator[httpx.Response]:
        """La respuesta en cuanto llegan sus cabeceras; el cuerpo lo lee quien la pide."""
        transcript.add(self.name, self.target.name, "http", _request_line(method, path, options))
        address = self.target.address
        transport = httpx.AsyncHTTPTransport(uds=address.path or None, verify=NO_TLS)
        async with httpx.AsyncClient(
            transport=transport,
            base_url=address.http,
            timeout=httpx.Timeout(None),
            trust_env=False,
        ) as client:
            request = client.build_request(method, path, **options)
            try:
                async with asyncio.timeout(patience(within)):
                    response = await client.send(request, stream=True)
            except (TimeoutError, httpx.HTTPError) as error:
                raise await self._no_answer(f"una respuesta a {method} {path}", error, within) from error
            try:
                yield response
            finally:
                await response.aclose()

    async def burst(
        self, method: str, path: str, count: int, *, within: float = DEADLINE, **options: Any
    ) -> list[httpx.Response]:
        """Las respuestas a `count` peticiones iguales y simultáneas, cada una por su conexión.

        Raises:
            Mismatch: alguna no llega entera en `within` segundos.
        """
        line = _request_line(method, path, options)
        transcript.add(self.name, self.target.name, "http", f"{count} × {line}, a la vez")
        address = self.target.address
        unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        transport = httpx.AsyncHTTPTransport(uds=address.path or None, verify=NO_TLS, limits=unlimited)
        async with httpx.AsyncClient(
            transport=transport, base_url=address.http, timeout=None, trust_env=False
        ) as client:

            async def one() -> httpx.Response:
                async with client.stream(method, path, **options) as response:
                    body = await self._read(response, f"la respuesta completa a {method} {path}", within)
                return httpx.Response(response.status_code, headers=_plain(response.headers), content=body)

            try:
                async with asyncio.timeout(patience(within)):
                    responses = await asyncio.gather(*(one() for _ in range(count)))
            except (TimeoutError, httpx.HTTPError) as error:
                raise await self._no_answer(f"{count} respuestas a {line}", error, within) from error
        for summary, times in Counter(map(_summary, responses)).items():
            transcript.add(self.target.name, self.name, "http", f"{times} × {summary}")
        return responses

    async def poll(
        self, path: str, ready: Callable[[httpx.Response], bool], *, expecting: str, within: float = 2.0, **options: Any
    ) -> httpx.Response:
        """Repite un GET hasta que la respuesta esté como se espera; en la transcripción solo queda el último.

        Raises:
            Mismatch: no llega a estarlo en `within` segundos. `expecting` dice qué se esperaba.
        """
        deadline = asyncio.get_running_loop().time() + patience(within)
        while True:
            mark = len(transcript.entries)
            response = await self.request("GET", path, **options)
            if ready(response):
                return response
            if asyncio.get_running_loop().time() > deadline:
                raise Mismatch(expecting, f"tras {within:g} s, {_summary(response)}")
            del transcript.entries[mark:]
            await asyncio.sleep(POLL_SECONDS)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("POST", path, **options)

    async def _read(self, response: httpx.Response, wanted: str, within: float) -> bytes:
        body = b""
        try:
            async with asyncio.timeout(patience(within)):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_BODY:
                        raise Mismatch(wanted, "más de 8 MiB de cuerpo")
        except (TimeoutError, httpx.HTTPError) as error:
            head = f"{response.status_code} {response.reason_phrase}"
            raise await self._no_answer(wanted, error, within, after=f"{head}, y después ") from error
        return body

    async def _no_answer(self, expected: str, error: Exception, within: float, after: str = "") -> Mismatch:
        silence = f"un cuerpo que no acaba en {within:g} s" if after else f"nada en {within:g} s"
        received = silence if isinstance(error, TimeoutError) else "la conexión se cortó"
        received = await self.target.explain(after + received)
        transcript.add(self.target.name, self.name, "close", received)
        return Mismatch(expected, received)


def _plain(headers: httpx.Headers) -> list[tuple[str, str]]:
    """Sin las cabeceras que describen un cuerpo comprimido: el que se guarda ya está descomprimido."""
    hidden = {"content-encoding", "content-length", "transfer-encoding"}
    return [(name, value) for name, value in headers.multi_items() if name not in hidden]


def _request_line(method: str, path: str, options: dict[str, Any]) -> str:
    body = show(options["json"]) if "json" in options else options.get("content", "")
    headers = " ".join(f"{name}: {value}" for name, value in (options.get("headers") or {}).items())
    return shorten(" ".join(filter(None, [method, path, headers, str(body)])))


def _summary(response: httpx.Response) -> str:
    return shorten(f"{response.status_code} {response.reason_phrase} {response.text}".strip())
