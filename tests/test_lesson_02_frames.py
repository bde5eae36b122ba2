"""Los analizadores de la lección 2: los mismos bytes dan lo mismo, lleguen en los trozos en que lleguen."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from lesson_servers import ROOT
from websockets.frames import Close, Frame, Opcode

LESSON = ROOT / "lessons" / "02_websockets"


@pytest.fixture(scope="module")
def lesson() -> Iterator[dict[str, ModuleType]]:
    """Los módulos puros de la lección, que se importan como desde su carpeta y no dejan rastro."""
    sys.path.insert(0, str(LESSON))
    names = ["frames", "wire"]
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(LESSON))
        for name in names:
            sys.modules.pop(name, None)


def encode(opcode: Opcode, data: bytes, *, mask: bool, fin: bool = True, rsv1: bool = False) -> bytes:
    """Tramas de referencia, escritas por la biblioteca `websockets`."""
    first, *rest = Frame(opcode, data, fin).serialize(mask=mask)
    return bytes([first | (0b0100_0000 if rsv1 else 0), *rest])


def stream(*, mask: bool) -> bytes:
    return b"".join(
        [
            encode(Opcode.TEXT, "¡Hola, señor Núñez!".encode(), mask=mask),
            encode(Opcode.PING, b"", mask=mask),
            encode(Opcode.TEXT, b"a" * 126, mask=mask, fin=False),
            encode(Opcode.PONG, b"latido", mask=mask),
            encode(Opcode.CONT, b"z", mask=mask),
            encode(Opcode.BINARY, bytes(range(256)) * 2, mask=mask, rsv1=True),
            encode(Opcode.CLOSE, Close(1001, "adiós").serialize(), mask=mask),
        ]
    )


def seen(frames: list[Any]) -> list[tuple[Any, ...]]:
    """Lo que se ve de cada trama, menos la clave de máscara, que es aleatoria."""
    return [(f.name, f.fin, f.compressed, f.length, len(f.header), f.preview, f.text, f.close_code) for f in frames]


@pytest.mark.parametrize("mask", [True, False])
def test_reads_every_kind_of_frame(lesson: dict[str, ModuleType], mask: bool) -> None:
    extra = 4 if mask else 0
    binary = (bytes(range(256)) * 2)[:160]
    assert seen(lesson["frames"].FrameParser().feed(stream(mask=mask))) == [
        ("TEXTO", True, False, 23, 2 + extra, "¡Hola, señor Núñez!".encode(), "¡Hola, señor Núñez!", None),
        ("PING", True, False, 0, 2 + extra, b"", None, None),
        ("TEXTO", False, False, 126, 4 + extra, b"a" * 126, "a" * 126, None),
        ("PONG", True, False, 6, 2 + extra, b"latido", None, None),
        ("CONTINUACIÓN", True, False, 1, 2 + extra, b"z", "z", None),
        ("BINARIO", True, True, 512, 4 + extra, binary, None, None),
        ("CIERRE", True, False, 8, 2 + extra, Close(1001, "adiós").serialize(), "adiós", 1001),
    ]


@pytest.mark.parametrize("mask", [True, False])
def test_any_split_in_two_gives_the_same_frames(lesson: dict[str, ModuleType], mask: bool) -> None:
    data = stream(mask=mask)
    whole = lesson["frames"].FrameParser().feed(data)
    for cut in range(len(data) + 1):
        parser = lesson["frames"].FrameParser()
        assert parser.feed(data[:cut]) + parser.feed(data[cut:]) == whole, f"partido en el byte {cut}"


def test_byte_by_byte_gives_the_same_frames(lesson: dict[str, ModuleType]) -> None:
    data = stream(mask=True)
    parser = lesson["frames"].FrameParser()
    one_by_one = [frame for index in range(len(data)) for frame in parser.feed(data[index : index + 1])]
    assert one_by_one == lesson["frames"].FrameParser().feed(data)


@pytest.mark.parametrize(
    ("length", "server", "client"), [(0, 2, 6), (125, 2, 6), (126, 4, 8), (65_535, 4, 8), (65_536, 10, 14)]
)
def test_header_grows_at_126_and_65536(lesson: dict[str, ModuleType], length: int, server: int, client: int) -> None:
    for mask, size in [(False, server), (True, client)]:
        [frame] = lesson["frames"].FrameParser().feed(encode(Opcode.TEXT, b"x" * length, mask=mask))
        assert (frame.length, len(frame.header), frame.mask is not None) == (length, size, mask)


def test_keeps_only_the_beginning_of_a_huge_frame(lesson: dict[str, ModuleType]) -> None:
    parser = lesson["frames"].FrameParser()
    [frame] = parser.feed(encode(Opcode.BINARY, b"x" * 1_000_000, mask=False))
    assert (frame.length, len(frame.preview)) == (1_000_000, lesson["frames"].PREVIEW)


def test_empty_close_has_no_code(lesson: dict[str, ModuleType]) -> None:
    [frame] = lesson["frames"].FrameParser().feed(encode(Opcode.CLOSE, b"", mask=False))
    assert (frame.close_code, frame.text) == (None, "")


ANSWER = (
    b"HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n\r\n\r\ncuerpo"
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
)


def test_heads_bodies_and_frames_of_one_connection_split_anywhere(lesson: dict[str, ModuleType]) -> None:
    data = ANSWER + encode(Opcode.TEXT, b"hola", mask=False)
    for cut in range(len(data) + 1):
        tap = lesson["wire"].Tap()
        found = tap.feed(data[:cut]) + tap.feed(data[cut:])
        assert [getattr(item, "first_line", None) or item.text for item in found] == [
            "HTTP/1.1 204 No Content",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 101 Switching Protocols",
            "hola",
        ], f"partido en el byte {cut}"


def test_client_frames_wait_for_the_101(lesson: dict[str, ModuleType]) -> None:
    tap = lesson["wire"].Tap()
    request = b"GET /ws HTTP/1.1\r\nupgrade: WebSocket\r\n\r\n"
    [head] = tap.feed(request + encode(Opcode.TEXT, b"con\r\n\r\nprisa", mask=True))
    assert head.target == "/ws"
    assert [frame.text for frame in tap.switch()] == ["con\r\n\r\nprisa"]


def test_a_head_that_never_ends_is_not_kept_for_ever(lesson: dict[str, ModuleType]) -> None:
    tap = lesson["wire"].Tap()
    assert tap.feed(b"x" * 64 * 1024) == []
    with pytest.raises(lesson["wire"].HeadTooLarge):
        tap.feed(b"x")
