"""Sesiones: un token de acceso corto, otro de renovación que cambia en cada uso, y billetes para conectarse."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from uuid import UUID, uuid4

import jwt
from pydantic import BaseModel
from redis.asyncio import Redis

from plaza.database import Database
from plaza.settings import Settings

ALGORITHM = "HS256"
AUDIENCE = "plaza"


class NotSignedIn(Exception):
    """La credencial no vale: falta, es falsa, ha caducado o su sesión se cerró.

    `session_id`, si por presentarla se ha cerrado una sesión.
    """

    def __init__(self, session_id: UUID | None = None) -> None:
        super().__init__()
        self.session_id = session_id


class Identity(BaseModel):
    """Quién es, con qué sesión y hasta cuándo (segundos de época)."""

    user_id: int
    username: str
    session_id: UUID
    expires_at: float

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.expires_at - time.time())


class Tokens(BaseModel):
    access_token: str
    refresh_token: str
    token_type: str = "bearer"
    expires_in: int


@dataclass(frozen=True)
class Sessions:
    """Crea, renueva y cierra sesiones."""

    settings: Settings
    database: Database
    redis: Redis

    async def open(self, user_id: int, username: str) -> Tokens:
        session_id, refresh = uuid4(), secrets.token_urlsafe(32)
        await self.database.execute(
            "INSERT INTO sessions (id, user_id, token_hash, expires_at) "
            "VALUES (:id, :user_id, :hash, now() + make_interval(days => :days))",
            id=session_id,
            user_id=user_id,
            hash=_digest(refresh),
            days=self.settings.refresh_days,
        )
        return self._tokens(user_id, username, session_id, refresh)

    async def renew(self, token: str) -> Tokens:
        """Cambia el token de renovación. Presentar uno ya cambiado cierra la sesión: alguien lo ha copiado.

        Raises:
            NotSignedIn
        """
        session_id, secret = _parse_refresh(token)
        fresh = secrets.token_urlsafe(32)
        row = await self.database.fetch_one(
            "UPDATE sessions SET token_hash = :fresh FROM users "
            "WHERE sessions.id = :id AND token_hash = :old AND revoked_at IS NULL AND expires_at > now() "
            "AND users.id = user_id RETURNING user_id, username",
            id=session_id,
            old=_digest(secret),
            fresh=_digest(fresh),
        )
        if row is None:
            raise NotSignedIn(session_id if await self.revoke(session_id) else None)
        return self._tokens(row["user_id"], row["username"], session_id, fresh)

    async def revoke(self, session_id: UUID) -> bool:
        """Cierra la sesión. Si estaba abierta."""
        closed = await self.database.execute(
            "UPDATE sessions SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL", id=session_id
        )
        return closed > 0

    async def identify(self, token: str) -> Identity:
        """De quién es un token de acceso.

        Raises:
            NotSignedIn
        """
        try:
            claims = jwt.decode(
                token,
                self.settings.secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                options={"require": ["exp", "sub", "aud", "sid", "name"]},
            )
            identity = Identity(
                user_id=claims["sub"], username=claims["name"], session_id=claims["sid"], expires_at=claims["exp"]
            )
        except (jwt.InvalidTokenError, ValueError):
            raise NotSignedIn from None
        if not await self.open_ids([identity.session_id]):
            raise NotSignedIn
        return identity

    async def open_ids(self, session_ids: list[UUID]) -> set[UUID]:
        """De esas sesiones, las que siguen abiertas."""
        rows = await self.database.fetch(
            "SELECT id FROM sessions WHERE id = ANY(:ids) AND revoked_at IS NULL AND expires_at > now()",
            ids=session_ids,
        )
        return {row["id"] for row in rows}

    async def issue_ticket(self, identity: Identity) -> str:
        """Un billete de un solo uso: lo que va en la URL de un WebSocket acaba en los registros."""
        ticket = secrets.token_urlsafe(24)
        await self.redis.set(f"ticket:{ticket}", identity.model_dump_json(), ex=self.settings.ticket_seconds)
        return ticket

    async def redeem(self, ticket: str) -> Identity:
        """Gasta un billete.

        Raises:
            NotSignedIn
        """
        saved = await self.redis.getdel(f"ticket:{ticket}")
        if saved is None:
            raise NotSignedIn
        identity = Identity.model_validate_json(saved)
        if identity.expires_at <= time.time() or not await self.open_ids([identity.session_id]):
            raise NotSignedIn
        return identity

    def _tokens(self, user_id: int, username: str, session_id: UUID, refresh: str) -> Tokens:
        now = int(time.time())
        lifetime = self.settings.access_seconds
        claims = {
            "sub": str(user_id),
            "name": username,
            "sid": str(session_id),
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + lifetime,
        }
        access = jwt.encode(claims, self.settings.secret, ALGORITHM)
        return Tokens(access_token=access, refresh_token=f"{session_id}.{refresh}", expires_in=lifetime)


def _parse_refresh(token: str) -> tuple[UUID, str]:
    session_id, _, secret = token.partition(".")
    try:
        return UUID(session_id), secret
    except ValueError:
        raise NotSignedIn from None


def _digest(secret: str) -> bytes:
    """En la base solo se guarda esto: quien la lea no puede usar las sesiones."""
    return hashlib.sha256(secret.encode()).digest()
