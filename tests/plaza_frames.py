"""Tramas deformes para el WebSocket de Plaza: órdenes estropeadas, y bytes que ni siquiera son WebSocket."""

import json
import random
import string
from collections.abc import Callable
from typing import Any

ALPHABET = string.printable + "áñ€😀\0\x7f\u2028"


def malformed(rng: random.Random, room: int) -> str:
    """El texto de una trama que no es una orden válida, o solo por casualidad."""
    return rng.choice(TEXTS)(rng, room)


def _noise(rng: random.Random, _: int) -> str:
    return "".join(rng.choices(ALPHABET, k=rng.randrange(200)))


def _order(rng: random.Random, room: int) -> dict[str, Any]:
    kind = rng.choice(["join", "leave", "send", "typing", "read", "ping", "renew"])
    order: dict[str, Any] = {"type": kind, "room": room, "text": "x", "client_id": "c", "seq": 1, "token": "t"}
    return order | {"position": {"epoch": "e", "seq": 0}}


def _wrong_values(rng: random.Random, room: int) -> str:
    order = _order(rng, room)
    for key in rng.sample(sorted(order), rng.randint(1, 4)):
        order[key] = rng.choice(VALUES)
    return json.dumps(order)


def _torn(rng: random.Random, room: int) -> str:
    """Una orden a la que le faltan, le sobran o se le cambian caracteres."""
    text = list(json.dumps(_order(rng, room)))
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(text))
        text[place : place + rng.randrange(3)] = rng.choices(ALPHABET, k=rng.randrange(3))
    return "".join(text)


def _deep(rng: random.Random, _: int) -> str:
    depth = rng.randrange(3000)
    return rng.choice(["[", '{"type":', "[[", '{"type":{"type":']) * depth


def _escaped(rng: random.Random, room: int) -> str:
    """JSON correcto con lo que ningún UTF-8, o ningún PostgreSQL, puede guardar."""
    order = _order(rng, room) | {"type": "send", "client_id": str(rng.random())}
    order[rng.choice(["text", "client_id"])] = rng.choice(["\0", "a\0", "\ud800", "\udfff\ud800"])
    return json.dumps(order)


def _large(rng: random.Random, room: int) -> str:
    return json.dumps({"type": "send", "room": room, "text": "x" * rng.randrange(4001, 20_000), "client_id": "c"})


def _number(rng: random.Random, _: int) -> str:
    return '{"type":"join","room":' + rng.choice(["1e999", "-1", "9" * rng.randrange(1, 5000), "NaN", "0x1"]) + "}"


VALUES: list[Any] = [None, True, -1, 0, 1.5, 2**63, 10**30, "", "\0", " ", "ñ" * 65, [], [[]], {}, {"type": "ping"}]
TEXTS: list[Callable[[random.Random, int], str]] = [
    _noise,
    _wrong_values,
    _torn,
    _deep,
    _escaped,
    _large,
    _number,
]


def _header(first: int, length: int, *, masked: bool = True) -> bytes:
    """La cabecera de una trama, con la longitud que diga aunque no sea verdad."""
    mask = 0x80 if masked else 0
    if length < 126:
        return bytes([first, mask | length])
    if length < 2**16:
        return bytes([first, mask | 126]) + length.to_bytes(2, "big")
    return bytes([first, mask | 127]) + length.to_bytes(8, "big")


MASK = bytes(4)
Maker = Callable[[random.Random], bytes]
# Bytes en lugar de una trama, y el código con el que se cierra una conexión que los manda.
BROKEN: list[tuple[int, Maker]] = [
    # Bits reservados, códigos que no existen, y un fragmento que sigue a ninguno.
    (1002, lambda rng: _header(0x81 | rng.choice([0x10, 0x20, 0x40]), 2) + MASK + b"{}"),
    (1002, lambda rng: _header(0x80 | rng.choice([3, 4, 7, 11, 15]), 2) + MASK + b"{}"),
    (1002, lambda rng: _header(0x80, 2) + MASK + b"{}"),
    # Sin máscara; texto que no es UTF-8; binaria.
    (1002, lambda rng: _header(0x81, 2, masked=False) + b"{}"),
    (1007, lambda rng: _header(0x81, 3) + MASK + rng.choice([b"\xff\xfe\xfd", b"\xc3\x28\x00", b"\xed\xa0\x80"])),
    (1003, lambda rng: _header(0x82, 4) + MASK + rng.randbytes(4)),
    # Longitudes imposibles, un ping demasiado largo o partido, y un cierre con un código que no existe.
    (1009, lambda rng: _header(0x81, 2**63 - rng.randrange(1, 1000)) + MASK),
    (1009, lambda rng: _header(0x81, 2**40) + MASK + b"x" * 100),
    (1009, lambda rng: _header(0x81, 2**16 + 1) + MASK + b"x" * (2**16 + 1)),
    (1002, lambda rng: _header(0x89, 126) + MASK + bytes(126)),
    (1002, lambda rng: _header(0x09, 2) + MASK + b"ab"),
    (1002, lambda rng: _header(0x88, 2) + MASK + rng.choice([0, 999, 1005, 5000]).to_bytes(2, "big")),
    (1002, lambda rng: _header(0x88, 1) + MASK + b"x"),
    (1002, lambda rng: b"\xff" + rng.randbytes(rng.randrange(1, 2000))),
]
