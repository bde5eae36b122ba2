"""Las constantes de todos los procesos: cada uno deja en Redis sus muestras cada poco, y cualquiera las junta."""

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from plaza import metrics
from plaza.database import Database
from plaza.metrics import Sample, nest, samples
from plaza.sessions import Identity

# Quien lleva sin dejar una muestra lo que tardan estas, ya no está.
STALE_SAMPLES = 3.5
# La ve igual cada proceso: en el total no se suma.
SHARED = {"tasks_queued"}
ALERTS = {"delivery_p99_seconds": 0.5, "tasks_queued": 100, "outbox_bytes": 5_000_000}


@dataclass(eq=False)
class Viewer:
    """Quien mira el tablero. `changed` se pone cuando hay algo nuevo en `latest`, o cuando se le acaba (`closed`)."""

    identity: Identity
    vitals: "Vitals"
    closed: bool
    changed: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    @property
    def latest(self) -> dict[str, Any]:
        return self.vitals.latest

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def end(self) -> None:
        self.closed = True
        self.wake()


@dataclass
class Vitals:
    """`role` es «web» o «worker»; `seconds`, cada cuánto deja una muestra."""

    role: str
    redis: Redis
    database: Database
    seconds: float
    latest: dict[str, Any] = field(init=False, default_factory=dict)
    viewers: set[Viewer] = field(init=False, default_factory=set)
    closed: bool = field(init=False, default=False)
    _before: tuple[float, dict[str, float]] | None = field(init=False, default=None)

    @property
    def name(self) -> str:
        # El número de proceso solo es único en su máquina; en un contenedor suele ser el 1.
        return f"{self.role}-{socket.gethostname()}-{os.getpid()}"

    async def run(self) -> None:
        while True:
            await self._count_tasks()
            mine = samples()
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self.redis.hset("vitals", self.name, json.dumps({"at": time.time(), "samples": mine}))
            if self.viewers:
                self.latest = self._compose(await self._everyone(mine))
                for viewer in self.viewers:
                    viewer.wake()
            await asyncio.sleep(self.seconds)

    async def _count_tasks(self) -> None:
        with contextlib.suppress(Exception):
            row = await self.database.fetch_one("SELECT count(*) AS n FROM tasks WHERE status IN ('queued', 'running')")
            metrics.tasks_queued.set(row["n"] if row else 0)

    async def _everyone(self, mine: list[Sample]) -> dict[str, list[Sample]]:
        """Las muestras de cada proceso vivo; si no hay Redis, solo las de este."""
        now = time.time()
        everyone = {self.name: mine}
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            saved_ones: Any = await self.redis.hgetall("vitals")
            for name, saved in saved_ones.items():
                process = json.loads(saved)
                if now - process["at"] < STALE_SAMPLES * self.seconds:
                    everyone[name.decode()] = [(each[0], each[1], each[2]) for each in process["samples"]]
                else:
                    await self.redis.hdel("vitals", name)
        return everyone

    def _compose(self, everyone: dict[str, list[Sample]]) -> dict[str, Any]:
        """Lo que se envía al tablero: por proceso, en total, y lo que se deduce de comparar con la muestra anterior."""
        # region TODO 31: Suma las muestras de todos (_merge) y añade lo que se deduce (_derive) y las alertas.
        #: return {"workers": {}, "total": {}, "alerts": []}
        merged = _merge(everyone)
        total = nest([(name, dict(labels), value) for (name, labels), value in merged.items()])
        return {
            "workers": {name: nest(rows) for name, rows in sorted(everyone.items())},
            "total": total | (derived := self._derive(merged)),
            "alerts": [
                {"metric": metric, "value": value, "threshold": threshold}
                for metric, threshold in ALERTS.items()
                if (value := derived.get(metric, total.get(metric, 0)) or 0) > threshold
            ],
        }
        # endregion

    def _derive(self, merged: dict["Key", float]) -> dict[str, float | None]:
        now = time.monotonic()
        flat = {_flat(key): value for key, value in merged.items()}
        before, then = (self._before[1], self._before[0]) if self._before else (flat, now)
        self._before = (now, flat)
        gained = {name: max(0.0, value - before.get(name, 0.0)) for name, value in flat.items()}
        elapsed = now - then
        buckets = {
            float(name.rpartition(":")[2]): value
            for name, value in gained.items()
            if name.startswith("delivery_duration_seconds_bucket:")
        }
        hits, misses = gained.get("cache_requests_total:hit", 0.0), gained.get("cache_requests_total:miss", 0.0)
        return {
            "messages_per_second": gained.get("messages_published_total", 0.0) / elapsed if elapsed else 0.0,
            "delivery_p50_seconds": quantile(buckets, 0.5),
            "delivery_p99_seconds": quantile(buckets, 0.99),
            "cache_hit_ratio": hits / (hits + misses) if hits + misses else None,
        }

    @contextlib.contextmanager
    def watch(self, identity: Identity) -> Iterator[Viewer]:
        """Alguien mira, en el bloque: mientras le dure el token, y mientras este proceso no se despida."""
        viewer = Viewer(identity, self, self.closed)
        expiry = asyncio.get_running_loop().call_later(identity.seconds_left, viewer.end)
        self.viewers.add(viewer)
        metrics.connections.labels("sse").inc()
        metrics.opened.labels("sse").inc()
        try:
            yield viewer
        finally:
            self.viewers.discard(viewer)
            expiry.cancel()
            metrics.connections.labels("sse").dec()

    def close_session(self, session_id: UUID) -> None:
        for viewer in self.viewers:
            if viewer.identity.session_id == session_id:
                viewer.end()

    def end_streams(self) -> None:
        self.closed = True
        for viewer in self.viewers:
            viewer.end()


Key = tuple[str, tuple[tuple[str, str], ...]]


def _merge(everyone: dict[str, list[Sample]]) -> dict[Key, float]:
    merged: dict[Key, float] = {}
    for rows in everyone.values():
        for name, labels, value in rows:
            key = (name, tuple(labels.items()))
            merged[key] = max(merged.get(key, 0.0), value) if name in SHARED else merged.get(key, 0.0) + value
    return merged


def _flat(key: Key) -> str:
    name, labels = key
    return ":".join([name, *(value for _, value in labels)])


def quantile(buckets: dict[float, float], share: float) -> float | None:
    """El cuantil, en segundos, de un histograma acumulado `{límite: cuántos}`; None si está vacío."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if not total:
        return None
    below, lower = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= share * total:
            if bound == float("inf"):
                return lower
            inside = buckets[bound] - below
            return lower + (bound - lower) * (share * total - below) / inside if inside else bound
        below, lower = buckets[bound], bound
    return lower
