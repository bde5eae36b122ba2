"""Quién hace la petición: un token de acceso en la cabecera o, donde no cabe una cabecera, un billete."""

from typing import Annotated

from fastapi import Depends, Header, HTTPException, Query

from plaza.resources import Plaza
from plaza.sessions import Identity, NotSignedIn

UNAUTHORIZED = {"WWW-Authenticate": "Bearer"}


async def current_user(plaza: Plaza, authorization: Annotated[str, Header()] = "") -> Identity:
    scheme, _, token = authorization.partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise NotSignedIn
        return await plaza.sessions.identify(token.strip())
    except NotSignedIn:
        raise HTTPException(401, "Hay que entrar primero", UNAUTHORIZED) from None


async def stream_user(
    plaza: Plaza, ticket: Annotated[str, Query()] = "", authorization: Annotated[str, Header()] = ""
) -> Identity:
    """Para los flujos: EventSource no puede enviar cabeceras. El 401 sale antes de empezar a enviar."""
    if not ticket:
        return await current_user(plaza, authorization)
    try:
        return await plaza.sessions.redeem(ticket)
    except NotSignedIn:
        raise HTTPException(401, "Ese billete ya no vale", UNAUTHORIZED) from None


User = Annotated[Identity, Depends(current_user)]
StreamUser = Annotated[Identity, Depends(stream_user)]
