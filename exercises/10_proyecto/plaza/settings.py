"""Los ajustes de Plaza: todos llegan por el entorno y todos tienen un valor sensato."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Settings:
    """Duraciones en segundos salvo que el nombre diga otra cosa; tamaños en bytes."""

    database_url: str
    redis_url: str
    smtp_url: str
    secret: str
    origins: frozenset[str]
    messages_per_second: float
    connections_per_user: int
    rooms_per_connection: int
    access_seconds: int
    refresh_days: int
    ticket_seconds: int
    history_events: int
    outbox_bytes: int
    send_seconds: float
    flush_seconds: float
    email_after_seconds: float
    sample_seconds: float
    metrics_port: int

    @classmethod
    def load(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Lee el entorno. ValueError si un número no lo es."""
        return cls(
            database_url=env.get("DATABASE_URL", "postgresql://taller@127.0.0.1:5432/taller"),
            redis_url=env.get("REDIS_URL", "redis://127.0.0.1:6379"),
            smtp_url=env.get("SMTP_URL", "smtp://127.0.0.1:1025"),
            secret=env.get("PLAZA_SECRET", "solo-para-desarrollo-cambia-este-secreto"),
            origins=frozenset(env.get("PLAZA_ORIGINS", "").split()),
            messages_per_second=float(env.get("PLAZA_MESSAGES_PER_SECOND", "10")),
            connections_per_user=int(env.get("PLAZA_CONNECTIONS_PER_USER", "10")),
            rooms_per_connection=int(env.get("PLAZA_ROOMS_PER_CONNECTION", "50")),
            access_seconds=int(env.get("PLAZA_ACCESS_SECONDS", "900")),
            refresh_days=int(env.get("PLAZA_REFRESH_DAYS", "30")),
            ticket_seconds=int(env.get("PLAZA_TICKET_SECONDS", "30")),
            history_events=int(env.get("PLAZA_HISTORY_EVENTS", "1000")),
            outbox_bytes=int(env.get("PLAZA_OUTBOX_BYTES", str(2**20))),
            send_seconds=float(env.get("PLAZA_SEND_SECONDS", "5")),
            flush_seconds=float(env.get("PLAZA_FLUSH_MS", "5")) / 1000,
            email_after_seconds=float(env.get("PLAZA_EMAIL_AFTER_SECONDS", "30")),
            sample_seconds=float(env.get("PLAZA_SAMPLE_SECONDS", "1")),
            metrics_port=int(env.get("PLAZA_METRICS_PORT", "0")),
        )
