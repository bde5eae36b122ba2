"""Cuentas: darse de alta, entrar, renovar, salir y pedir un billete para conectarse."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, HTTPException
from pwdlib import PasswordHash
from pydantic import BaseModel, Field

from plaza.access import User
from plaza.fields import Email, Password, Username
from plaza.resources import Plaza
from plaza.sessions import NotSignedIn, Tokens

router = APIRouter(prefix="/api", tags=["cuentas"])
hasher = PasswordHash.recommended()
# Comprobar una contraseña ocupa 64 MiB y unas decenas de milisegundos: pocas a la vez, y fuera del bucle.
hashing = asyncio.Semaphore(2)


class NewUser(BaseModel):
    username: Username
    password: Password
    email: Email


class Account(BaseModel):
    id: int
    username: str


class Credentials(BaseModel):
    username: Username
    password: Annotated[str, Field(max_length=200)]


class Renewal(BaseModel):
    refresh_token: Annotated[str, Field(max_length=200)]


class Ticket(BaseModel):
    ticket: str
    expires_in: int


@router.post("/users", status_code=201)
async def register(new: NewUser, plaza: Plaza) -> Account:
    async with hashing:
        password_hash = await asyncio.to_thread(hasher.hash, new.password)
    row = await plaza.database.fetch_one(
        "INSERT INTO users (username, email, password_hash) VALUES (:name, :email, :hash) "
        "ON CONFLICT (username) DO NOTHING RETURNING id, username",
        name=new.username,
        email=new.email,
        hash=password_hash,
    )
    if row is None:
        raise HTTPException(409, "Ese nombre ya está cogido")
    return Account(**row)


@router.post("/login")
async def login(credentials: Credentials, plaza: Plaza) -> Tokens:
    if wait := await plaza.logins.take_one(f"limit:login:{credentials.username}"):
        raise HTTPException(429, "Demasiados intentos", {"Retry-After": str(round(wait + 0.5))})
    row = await plaza.database.fetch_one(
        "SELECT id, username, password_hash FROM users WHERE username = :name", name=credentials.username
    )
    known = row["password_hash"] if row else None
    async with hashing:
        right = await asyncio.to_thread(is_right, credentials.password, known)
    if row is None or not right:
        raise HTTPException(401, "Ese usuario y esa contraseña no van juntos")
    return await plaza.sessions.open(row["id"], row["username"])


def is_right(password: str, known: str | None) -> bool:
    if known is None:
        # Se gasta lo mismo cuando el usuario no existe: por la duración no se sabe quién tiene cuenta.
        hasher.hash(password)
        return False
    return hasher.verify(password, known)


@router.post("/refresh")
async def refresh(renewal: Renewal, plaza: Plaza) -> Tokens:
    try:
        return await plaza.sessions.renew(renewal.refresh_token)
    except NotSignedIn as error:
        if error.session_id is not None:
            plaza.close_session(error.session_id)
            await plaza.bus.announce("session_ended", session=str(error.session_id))
        raise HTTPException(401, "La sesión se ha cerrado; vuelve a entrar") from None


@router.post("/logout", status_code=204)
async def logout(user: User, plaza: Plaza) -> None:
    await plaza.end_session(user.session_id)


@router.post("/tickets", status_code=201)
async def ticket(user: User, plaza: Plaza) -> Ticket:
    return Ticket(ticket=await plaza.sessions.issue_ticket(user), expires_in=plaza.settings.ticket_seconds)
