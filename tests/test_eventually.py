"""Lo que un control tiene para esperar: mirar hasta que esté, y ensayar una vez para varios."""

import asyncio
import itertools

import pytest

from taller.checking import Mismatch, Rehearsal, eventually, transcript


def test_looks_again_until_it_is_accepted() -> None:
    numbers = itertools.count()
    assert asyncio.run(eventually(lambda: next(numbers), lambda number: number == 3, "un 3")) == 3


def test_what_it_looks_at_may_be_a_coroutine() -> None:
    async def look() -> str:
        return "listo"

    assert asyncio.run(eventually(look, bool, "algo")) == "listo"


def test_says_what_it_expected_and_what_it_last_saw() -> None:
    with pytest.raises(Mismatch) as mismatch:
        asyncio.run(
            eventually(lambda: {"users": 2}, lambda said: said["users"] == 0, "que no quede nadie", within=0.03)
        )
    assert mismatch.value.expected == "que no quede nadie"
    assert '{"users": 2}' in mismatch.value.received


def test_a_scene_is_played_once_and_everyone_sees_its_transcript() -> None:
    played = itertools.count(1)

    async def scene() -> int:
        transcript.note("se levanta el telón")
        return next(played)

    async def two_checks() -> None:
        rehearsal = Rehearsal(scene)
        for _ in range(2):
            transcript.start()
            assert await rehearsal.look() == 1
            assert [entry.text for entry in transcript.entries] == ["se levanta el telón"]

    asyncio.run(two_checks())


def test_a_scene_that_fails_fails_for_everyone() -> None:
    async def scene() -> int:
        raise Mismatch("que arranque", "nada")

    async def two_checks() -> None:
        rehearsal = Rehearsal(scene)
        for _ in range(2):
            transcript.start()
            with pytest.raises(Mismatch, match="que arranque"):
                await rehearsal.look()

    asyncio.run(two_checks())


def test_a_scene_cut_short_explains_itself_to_the_rest() -> None:
    async def scene() -> int:
        await asyncio.sleep(60)
        return 1

    async def two_checks() -> None:
        rehearsal = Rehearsal(scene)
        transcript.start()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await rehearsal.look()
        with pytest.raises(Mismatch, match="sigue a medias"):
            await rehearsal.look()

    asyncio.run(two_checks())
