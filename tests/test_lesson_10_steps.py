"""Los pasos en vivo de la lección 10, contra uvicorn, y el libro de cuentas de su mini-app."""

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from lesson_servers import ROOT, serving
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from taller.services import Postgres, Valkey, postgres, valkey

LESSON = ROOT / "lessons" / "10_proyecto"
STEPS = LESSON / "pasos"
DEADLINE = 10.0


class Person:
    """Alguien en la consola de un paso."""

    def __init__(self, name: str, websocket: ClientConnection) -> None:
        self.name, self.websocket = name, websocket
        self.unheard: list[dict[str, Any]] = []

    def hear(self, kind: str = "message", **fields: str) -> dict[str, Any]:
        """El siguiente suceso de esa clase con esos campos; los demás quedan por oír."""
        wanted = {"type": kind, **fields}
        while not (found := [event for event in self.unheard if wanted.items() <= event.items()]):
            self.unheard.append(json.loads(self.websocket.recv(DEADLINE)))
        self.unheard.remove(found[0])
        return found[0]

    def say(self, text: str, client_id: str = "") -> str:
        client_id = client_id or f"{self.name}: {text}"
        self.websocket.send(json.dumps({"text": text, "client_id": client_id}))
        return client_id

    def say_and_wait(self, text: str, client_id: str = "") -> int:
        return int(self.hear("ack", client_id=self.say(text, client_id))["seq"])


@contextmanager
def person(address: str, name: str, after: int | None = None) -> Iterator[Person]:
    query = "" if after is None else f"&after={after}"
    with connect(f"ws://{address}/ws?name={name}{query}", open_timeout=DEADLINE, close_timeout=1) as websocket:
        yield Person(name, websocket)


def test_step_1_tells_everyone_and_keeps_nothing() -> None:
    with serving(STEPS, "paso_1") as address:
        assert "Consola de la plaza" in httpx.get(f"http://{address}/").text
        with person(address, "ana") as ana, person(address, "luis") as luis:
            luis.say("hola")
            expected = {"type": "message", "user": "luis", "text": "hola"}
            assert [ana.hear(), luis.hear()] == [expected] * 2
        with person(address, "ana") as ana:
            ana.say("¿qué me he perdido?")
            assert ana.hear()["text"] == "¿qué me he perdido?"


Servers = tuple[Postgres, Valkey]


@pytest.fixture(scope="module")
async def servers(anyio_backend: str) -> AsyncIterator[Servers]:
    """Los que usan los pasos de esta prueba; sin ellos, cada uno arrancaría los suyos."""
    async with postgres() as database, valkey() as redis:
        yield database, redis


@pytest.fixture
async def fresh(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Valkey:
    """Una base nueva, y el Valkey."""
    database, redis = servers
    monkeypatch.setenv("DATABASE_URL", await database.create_database())
    monkeypatch.setenv("REDIS_URL", redis.url)
    return redis


@pytest.mark.anyio
async def test_step_2_gives_numbers_without_gaps_and_one_receipt_for_each_id(fresh: Valkey) -> None:
    with serving(STEPS, "paso_2") as address, person(address, "ana") as ana, person(address, "luis") as luis:
        for number in range(10):
            ana.say(f"a{number}")
            luis.say(f"l{number}")
        heard = [[(event["seq"], event["text"]) for event in (one.hear() for _ in range(20))] for one in (ana, luis)]
        assert heard[0] == heard[1]
        assert [seq for seq, _ in heard[0]] == list(range(1, 21))
        assert ana.say_and_wait("otra vez", "mismo") == ana.say_and_wait("otra vez", "mismo") == 21
        ana.say("y ya está")
        assert [luis.hear()["text"] for _ in range(2)] == ["otra vez", "y ya está"]


@pytest.mark.anyio
async def test_step_3_is_fast_with_redis_and_true_without_it(fresh: Valkey) -> None:
    with (
        serving(STEPS, "paso_3") as first,
        serving(STEPS, "paso_3") as second,
        person(first, "ana") as ana,
        person(second, "luis") as luis,
    ):
        for number in range(1, 6):
            assert ana.say_and_wait(f"{number}") == number
            assert luis.hear()["seq"] == number
        await fresh.kill()
        assert luis.say_and_wait("sin Redis") == 6
        assert [ana.hear()["seq"] for _ in range(6)] == [1, 2, 3, 4, 5, 6]
        await fresh.start()
        assert luis.say_and_wait("con Redis") == 7
        assert ana.hear()["text"] == "con Redis"


@pytest.mark.anyio
async def test_step_4_tells_what_was_missed_by_any_process(fresh: Valkey) -> None:
    with serving(STEPS, "paso_4") as first, serving(STEPS, "paso_4") as second, person(first, "ana") as ana:
        assert ana.hear("joined") == {"type": "joined", "seq": 0, "recovered": None}
        for number in range(1, 11):
            ana.say_and_wait(str(number))
        with person(second, "luis") as witness:  # hasta que el segundo lo haya repartido todo
            seen = witness.hear("joined")["seq"]
            while seen < 10:
                seen = witness.hear()["seq"]
        with person(second, "luis", after=4) as luis:
            assert luis.hear("joined") == {"type": "joined", "seq": 10, "recovered": True}
            ana.say_and_wait("y otra")
            assert [luis.hear()["seq"] for _ in range(7)] == [5, 6, 7, 8, 9, 10, 11]
        assert [ana.hear()["seq"] for _ in range(11)] == list(range(1, 12))
        with person(first, "luis", after=99) as luis:
            assert luis.hear("joined") == {"type": "joined", "seq": 11, "recovered": False}
            ana.say("hola")
            assert luis.hear()["seq"] == 12


def is_ready(address: str) -> bool:
    return bool(httpx.get(f"http://{address}/health/ready").json()["ready"])


@pytest.mark.anyio
async def test_step_5_says_goodbye_and_then_closes(fresh: Valkey) -> None:
    with ExitStack() as afterwards:
        with serving(STEPS, "paso_5") as address:
            assert is_ready(address)
            people = [afterwards.enter_context(person(address, name)) for name in ("ana", "luis", "eva", "paz")]
            for one in people:
                one.hear("joined")
            people[0].say("lo último")
            assert [one.hear()["text"] for one in people] == ["lo último"] * 4
        # Ya ha recibido SIGTERM y ha terminado; lo que dijo al irse está por leer.
        waits = {one.hear("goodbye")["retry_after_ms"] for one in people}
        for one in people:
            with pytest.raises(ConnectionClosed):
                one.hear()
            assert one.websocket.close_code == 1012
        assert len(waits) > 1
        assert all(200 <= wait <= 3000 for wait in waits)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(LESSON))
    import ledger

    book = ledger.Ledger(["ana"])
    book.enter("ana", 0)
    yield book
    del sys.modules["ledger"]


def test_the_ledger_finds_what_is_lost_repeated_and_out_of_order(ledger: Any) -> None:
    for seq, phrase in enumerate("abcdef", start=1):
        ledger.say(phrase)
        ledger.acknowledge(phrase, seq)
    ana = ledger.readings["ana"]
    assert (ana.lost, ana.coming) == (0, 6)
    for phrase, seq in (("a", 1), ("c", 3), ("c", 3), ("e", 5), ("d", 4)):
        ledger.see("ana", phrase, seq)
    assert (ana.lost, ana.coming) == (1, 1)
    assert (ana.duplicated, ana.disordered) == (1, 1)
    ledger.see("ana", "a", 9)
    assert ana.duplicated == 2
    ledger.see("ana", "de otra persona", 10)
    assert len(ana.seen) == 4


def test_nobody_is_owed_what_was_said_before_they_came(ledger: Any) -> None:
    ledger.readings["luis"] = type(ledger.readings["ana"])()
    for seq, phrase in enumerate("abc", start=1):
        ledger.say(phrase)
        if seq == 2:
            ledger.enter("luis", 2)
        ledger.acknowledge(phrase, seq)
    assert ledger.readings["ana"].coming == 3
    assert list(ledger.readings["luis"].owed) == ["c"]


def test_a_new_account_forgets_the_old_one(ledger: Any) -> None:
    ledger.say("a")
    ledger.acknowledge("a", 1)
    ledger.forget()
    ledger.see("ana", "a", 1)
    ana = ledger.readings["ana"]
    assert (len(ledger.said), ledger.acknowledged, len(ana.seen), ana.coming) == (0, 0, 0, 0)
