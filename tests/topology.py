"""docker-compose.yml en marcha con procesos: la misma orden, solo su entorno, y los mismos archivos de configuración.

Lo único que cambia es dónde está cada cosa, y está todo en `Places`.
"""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import compose_file
import httpx

from taller.catalog import ROOT
from taller.services.places import free_port
from taller.services.postgres_cluster import find_binaries
from taller.services.valkey_server import find_binary

SECRETS = ("PLAZA_SECRET", "POSTGRES_PASSWORD", "VALKEY_PASSWORD", "GRAFANA_PASSWORD")
START_SECONDS = 90.0
# Cada réplica, en su dirección, como cada contenedor en la suya; el puerto es el mismo.
REPLICAS = ("127.0.0.2", "127.0.0.3")


def secret(name: str) -> str:
    return f"secreto-{name.lower()}-de-las-pruebas".replace("_", "-")


class Names(threading.Thread):
    """El DNS de Docker: contesta por «web» con las direcciones de `living`."""

    def __init__(self, living: Callable[[], Sequence[str]]) -> None:
        super().__init__(daemon=True)
        self.living = living
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def run(self) -> None:
        while True:
            query, client = self.socket.recvfrom(512)
            if not query:
                return
            self.socket.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        question = query[12 : query.index(b"\0", 12) + 5]
        addresses = [socket.inet_aton(address) for address in self.living()]
        records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 2, 4) + address for address in addresses)
        return query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(addresses), 0, 0) + question + records

    def close(self) -> None:
        self.socket.sendto(b"", self.socket.getsockname())
        self.join(5)
        self.socket.close()


@dataclass
class Container:
    """Un servicio de docker-compose.yml, en un proceso que solo tiene el entorno que se le da."""

    name: str
    command: list[str]
    folder: Path
    env: dict[str, str]
    log: Path
    health: list[str] = field(default_factory=list)
    running: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                self.command, cwd=self.folder, env=self.env, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.poll() is None

    def healthy(self) -> bool:
        """Lo que dice su `healthcheck`."""
        asked = subprocess.run(self.health, cwd=self.folder, env=self.env, capture_output=True, timeout=30, check=False)
        return asked.returncode == 0

    def wait_healthy(self, seconds: float = START_SECONDS) -> None:
        limit = time.monotonic() + seconds
        while not self.healthy():
            assert self.alive and time.monotonic() < limit, f"{self.name} no está sano. Dijo:\n{self.said}"
            time.sleep(0.1)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        if self.running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait(10)

    def stop(self, seconds: float = 10.0) -> None:
        """Como `docker stop`: SIGTERM y, si no basta, SIGKILL."""
        if self.alive:
            assert self.running
            self.running.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.running.wait(seconds)
        self.kill()


@dataclass(frozen=True)
class Places:
    """Dónde está aquí lo que en Docker tiene nombre de servicio. Cada par es (lo que dice el archivo, lo que hay)."""

    database_url: str
    smtp_url: str
    scratch: Path
    valkey: int = field(default_factory=free_port)
    nginx: int = field(default_factory=free_port)
    web: int = field(default_factory=lambda: _port_free_in(REPLICAS))
    worker_metrics: int = field(default_factory=free_port)

    def everywhere(self) -> list[tuple[str, str]]:
        # El PostgreSQL del curso no pide contraseña, y su base se llama de otra manera.
        written = f"postgresql://plaza:{secret('POSTGRES_PASSWORD')}@postgres:5432/plaza"
        return [
            (written, self.database_url),
            ("valkey:6379", f"127.0.0.1:{self.valkey}"),
            ("smtp://mailpit:1025", self.smtp_url),
        ]

    def of_web(self, address: str) -> list[tuple[str, str]]:
        return [
            ("--host=0.0.0.0", f"--host={address}"),
            ("--port=8000", f"--port={self.web}"),
            ("127.0.0.1:8000", f"{address}:{self.web}"),
        ]

    def of_worker(self) -> list[tuple[str, str]]:
        return [("8001", str(self.worker_metrics))]

    def of_nginx(self, names: str) -> list[tuple[str, str]]:
        return [
            ("resolver 127.0.0.11 ", f"resolver {names} "),
            ("http://web:8000", f"http://web:{self.web}"),
            ("listen 8080", f"listen 127.0.0.1:{self.nginx}"),
            ("127.0.0.1:8080", f"127.0.0.1:{self.nginx}"),
            ("/tmp/", f"{self.scratch}/"),
        ]

    def of_valkey(self, data: Path) -> list[tuple[str, str]]:
        return [("valkey-server", str(find_binary())), ("/data", str(data))]


def _port_free_in(addresses: Sequence[str]) -> int:
    while True:
        port = free_port()
        with suppress(OSError), ExitStack() as stack:
            for address in addresses:
                stack.enter_context(socket.create_server((address, port)))
            return port


def substitute(value: Any, pairs: Sequence[tuple[str, str]]) -> Any:
    if isinstance(value, dict):
        return {key: substitute(each, pairs) for key, each in value.items()}
    if isinstance(value, list):
        return [substitute(each, pairs) for each in value]
    for written, real in pairs:
        value = str(value).replace(written, real)
    return value


@dataclass
class Topology:
    """El despliegue en marcha."""

    places: Places
    services: dict[str, Any]
    image: Path
    containers: dict[str, Container] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.places.nginx}"

    @property
    def webs(self) -> list[Container]:
        return [self.containers[f"web-{address}"] for address in REPLICAS]

    def living(self) -> list[str]:
        return [address for address in REPLICAS if self.containers[f"web-{address}"].alive]

    def direct(self, address: str) -> str:
        return f"http://{address}:{self.places.web}"

    def create(self, service: str, name: str, pairs: Sequence[tuple[str, str]]) -> Container:
        """El servicio, aún parado."""
        described = substitute(self.services[service], [*self.places.everywhere(), *pairs])
        path = os.pathsep.join([str(Path(sys.executable).parent), str(find_binaries()), os.environ["PATH"]])
        _, *health = described.get("healthcheck", {}).get("test", [""])
        log = self.places.scratch / f"{name}.log"
        env = {"PATH": path, **described.get("environment", {})}
        self.containers[name] = Container(name, described.get("command", []), self.image, env, log, health)
        return self.containers[name]


@contextmanager
def topology(folder: Path, database_url: str, smtp_url: str, plaza: str = "soluciones") -> Iterator[Topology]:
    """El despliegue de `plaza`, con todo sano; PostgreSQL y el correo ya están en marcha."""
    scratch, image = folder / "scratch", folder / "app"
    scratch.mkdir()
    image.mkdir()
    compose_file.build(plaza, image)
    environment = {name: secret(name) for name in SECRETS} | {"PLAZA": plaza}
    places = Places(database_url, smtp_url, scratch)
    here = Topology(places, compose_file.load(environment)["services"], image)
    with ExitStack() as stack:
        stack.callback(lambda: [container.stop() for container in reversed(here.containers.values())])
        _start_valkey(here)
        migrations = here.create("migrate", "migrate", [])
        migrations.start()
        assert migrations.running and migrations.running.wait(60) == 0, migrations.said
        for address in REPLICAS:
            here.create("web", f"web-{address}", places.of_web(address)).start()
        here.create("worker", "worker", places.of_worker()).start()
        for container in [*here.webs, here.containers["worker"]]:
            container.wait_healthy()
        names = Names(here.living)
        stack.callback(names.close)
        names.start()
        start_nginx(here, names).wait_healthy()
        yield here


def _start_valkey(here: Topology) -> None:
    data = here.places.scratch / "valkey"
    data.mkdir()
    container = here.create("valkey", "valkey", here.places.of_valkey(data))
    # Lo que la imagen pone por su cuenta: el puerto y la carpeta de trabajo.
    container.command += ["--bind", "127.0.0.1", "--port", str(here.places.valkey), "--dir", str(data)]
    container.start()


def start_nginx(here: Topology, names: Names) -> Container:
    """El nginx de verdad, con deploy/nginx.conf."""
    binary = shutil.which("nginx", path=os.environ["PATH"] + os.pathsep + "/usr/sbin")
    assert binary, "falta nginx"
    pairs = here.places.of_nginx(names.address)
    written = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    configuration = here.places.scratch / "nginx.conf"
    configuration.write_text(str(substitute(written, pairs)), encoding="utf-8")
    container = here.create("nginx", "nginx", pairs)
    assert container.command[0] == "nginx"
    container.command = [binary, "-c", str(configuration), "-p", str(here.places.scratch), *container.command[1:]]
    container.start()
    return container


class Echo(BaseHTTPRequestHandler):
    """Devuelve las cabeceras que le llegan."""

    def do_GET(self) -> None:
        body = json.dumps(dict(self.headers.items())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def echo_behind_nginx(folder: Path) -> Iterator[str]:
    """El mismo nginx delante de quien repite las cabeceras; da su dirección."""
    folder.mkdir()
    places = Places("", "", folder)
    environment = {name: secret(name) for name in SECRETS}
    here = Topology(places, compose_file.load(environment)["services"], folder)
    names = Names(lambda: REPLICAS[:1])
    server = ThreadingHTTPServer((REPLICAS[0], places.web), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    names.start()
    nginx = start_nginx(here, names)
    try:
        nginx.wait_healthy()
        yield here.url
    finally:
        nginx.stop()
        names.close()
        server.shutdown()
        server.server_close()


def scrape(address: str) -> str:
    return httpx.get(f"http://{address}/metrics", timeout=5).raise_for_status().text
