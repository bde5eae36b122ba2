"""Lo que un cliente puede pedir por el WebSocket, y cómo se dice que no."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from plaza.fields import MAX_TEXT, ClientId, Id, Seq, Text
from plaza.journal import Refused


class Position(BaseModel):
    """Hasta dónde había visto una sala quien vuelve."""

    epoch: Annotated[str, Field(max_length=64)]
    seq: Seq


class Join(BaseModel):
    type: Literal["join"]
    room: Id
    position: Position | None = None


class Leave(BaseModel):
    type: Literal["leave"]
    room: Id


class Say(BaseModel):
    type: Literal["send"]
    room: Id
    text: Text
    client_id: ClientId


class Typing(BaseModel):
    type: Literal["typing"]
    room: Id


class Read(BaseModel):
    type: Literal["read"]
    room: Id
    seq: Seq


class Ping(BaseModel):
    type: Literal["ping"]


class Renew(BaseModel):
    type: Literal["renew"]
    token: Annotated[str, Field(max_length=4096)]


Command = Join | Leave | Say | Typing | Read | Ping | Renew
PARSER: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])
ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


def parse(line: str) -> Command:
    """Una orden.

    Raises:
        Refused: no se entiende (`invalid`) o su texto es demasiado largo (`too_large`).
    """
    try:
        return PARSER.validate_json(line)
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_context=False):
            if problem["type"] == "string_too_long" and problem["loc"][-1] == "text":
                raise Refused("too_large", f"Un mensaje tiene como mucho {MAX_TEXT} caracteres") from None
        raise Refused("invalid", "No se entiende esa orden") from None


def reply_fields(line: str) -> dict[str, Any]:
    """Lo que ayuda al cliente a saber de qué se le contesta, si viene bien escrito."""
    try:
        order = ANYTHING.validate_json(line)
    except ValidationError:
        return {}
    if not isinstance(order, dict):
        return {}
    kinds = {"type": (str, "re"), "room": (int, "room"), "client_id": (str, "client_id")}
    return {
        name: order[key]
        for key, (kind, name) in kinds.items()
        if isinstance(order.get(key), kind) and not isinstance(order[key], bool) and len(str(order[key])) <= 64
    }
