"""Los clientes de los controles: qué dicen cuando lo que llega no es lo esperado."""

from typing import Any

import pytest

from taller.wire import ANY, Approx, Matching, Mismatch, OneOf, SseEvent, difference
from taller.wire.event_stream import MAX_BLOCK, EventStream, parse_block
from taller.wire.transcript import MAX_ENTRIES, Transcript


@pytest.mark.parametrize(
    ("expected", "received", "said"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, None),
        ({"a": 1}, {"b": 1}, "el campo «a», que falta"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "en «a.b», 1 y no 2"),
        ([1, 2], [1], "2 elementos y no 1"),
        ([1, {"x": "ñ"}], [1, {"x": "n"}], 'en «[1].x», "ñ" y no "n"'),
        (1, True, "1 y no true"),
        (1, 1.0, "1 y no 1.0"),
        (None, "", 'null y no ""'),
        (ANY, object(), None),
        (Matching(r"\d+", "un número en texto"), "12", None),
        (Matching(r"\d+", "un número en texto"), "a1", '‹un número en texto› y no "a1"'),
        (Approx(0, 1), 0.5, None),
        (Approx(0, 1), True, "‹un número entre 0 y 1› y no true"),
        ({"code": OneOf(200, 201)}, {"code": 404}, "en «code», ‹200 o 201› y no 404"),
    ],
)
def test_the_exact_difference_is_named(expected: Any, received: Any, said: str | None) -> None:
    assert difference(expected, received) == said


@pytest.mark.parametrize(
    ("lines", "event"),
    [
        (["data: uno"], SseEvent(data="uno")),
        (["data:uno", "data: dos"], SseEvent(data="uno\ndos")),
        (["event: aviso", "id: 7", "data: {}"], SseEvent(data="{}", event="aviso", id="7")),
        ([": latido"], SseEvent(comment="latido")),
        (["retry: 1500"], SseEvent(retry=1500)),
        (["retry: pronto", "data: x", "otro: y"], SseEvent(data="x")),
    ],
)
def test_an_event_is_read_as_the_standard_says(lines: list[str], event: SseEvent) -> None:
    assert parse_block(lines) == event


STREAM = (
    "\ufeff: hola\r\n\r\nretry: 500\r\n\r\nevent: nota\rdata: una\rdata:  dos\u2028tres\r\r"
    "id: 9\ndata\ndata: ¡ñ€😀!\n\n\n"
).encode()
BLOCKS = [
    SseEvent(comment="hola"),
    SseEvent(retry=500),
    SseEvent(event="nota", data="una\n dos\u2028tres"),
    SseEvent(id="9", data="\n¡ñ€😀!"),
]


@pytest.mark.parametrize("at", range(len(STREAM) + 1))
def test_a_stream_split_at_any_byte_gives_the_same_blocks(at: int) -> None:
    parser = EventStream()
    assert [*parser.feed(STREAM[:at]), *parser.feed(STREAM[at:])] == BLOCKS
    assert parser.unfinished == ""


def test_a_block_without_its_blank_line_is_seen_but_not_given() -> None:
    parser = EventStream()
    assert list(parser.feed(b"data: uno\ndata: do")) == []
    assert parser.unfinished == "data: uno\ndata: do"


@pytest.mark.parametrize("endless", [b"x" * 65536, b"data: x\n" * 8192, b":\n" * 32768])
def test_a_block_that_never_ends_is_given_up(endless: bytes) -> None:
    times = 2 * MAX_BLOCK // len(endless) + 1
    with pytest.raises(Mismatch, match="sin una línea en blanco"):
        feed_all(EventStream(), [endless] * times)


def feed_all(parser: EventStream, chunks: list[bytes]) -> list[SseEvent]:
    return [event for chunk in chunks for event in parser.feed(chunk)]


def test_a_summary_replaces_what_happens_inside() -> None:
    transcript = Transcript()
    with transcript.summarized("200 clientes entran y se van"):
        transcript.add("app", "cliente", "ws", "hola")
    transcript.add("app", "cliente", "ws", "adiós")
    assert [entry.text for entry in transcript.entries] == ["200 clientes entran y se van", "adiós"]


def test_a_transcript_is_bounded_in_lines_and_in_text() -> None:
    transcript = Transcript()
    for _ in range(MAX_ENTRIES + 50):
        transcript.add("app", "cliente", "ws", "x" * 10_000)
    assert len(transcript.entries) == MAX_ENTRIES + 1
    assert transcript.entries[0].text.endswith("… (10.000 caracteres)")
    transcript.start()
    assert transcript.entries == []
