"""Qué entregas se parecen más de lo que explican el curso y la costumbre."""

import random
import time
from functools import reduce
from pathlib import Path

import pytest
from reports_class import class_of, grade

from taller.catalog import find_exercise
from taller.grading.reports import write_reports
from taller.grading.reports.similarity import LONGEST_FILE, similar_pairs, tokens
from taller.grading.results import Grade
from taller.skeleton import skeleton_of

PATH = "02_websockets/e1_eco.py"
GIVEN = skeleton_of(find_exercise("2.1"))
WORK = '''
class Session:
    """Lo que recuerda una conexión."""

    def __init__(self):
        self.count = 0
        self.history = []

    def reply(self, message):
        kind = message["type"]
        if kind == "echo" and len(message["text"]) < 100:
            self.count += 1
            self.history.append(message["text"])
            return {"type": "echo", "text": message["text"], "count": self.count}
        if kind == "bye":
            total = sum(len(text) for text in self.history)
            return {"type": "bye", "total": total}
        raise ProtocolError("unknown_type", kind)
'''
RENAMES = {"count": "cuenta", "history": "lista", "kind": "clase", "message": "m", "Lo que recuerda una": "Mi"}
RENAMED = reduce(lambda text, pair: text.replace(*pair), RENAMES.items(), WORK).replace(
    "        if", "        # Ajá\n        if"
)
OTHER = """
def answer(state, incoming):
    match incoming:
        case {"type": "echo", "text": str(text)}:
            state["seen"] = state.get("seen", 0) + 1
            return dict(type="echo", text=text, count=state["seen"])
        case {"type": "bye"}:
            return dict(type="bye", total=state.pop("seen", 0))
        case {"type": other}:
            raise ProtocolError("unknown_type", other)
    raise ProtocolError("no_type")


async def attend(websocket, state):
    while True:
        await websocket.send_json(answer(state, await websocket.receive_json()))
"""


def submission(key: str, text: str, path: str = PATH) -> Grade:
    made = grade(key, key.title())
    return Grade(key, key.title(), "h", made.exercises, 1.0, files={path: text})


def keys(*grades: Grade) -> list[tuple[str, str]]:
    return [(pair.left.key, pair.right.key) for pair in similar_pairs(list(grades), [GIVEN])]


def test_a_copy_with_other_names_is_found_and_shown() -> None:
    [pair] = similar_pairs(
        [
            submission("ana", GIVEN + WORK),
            submission("bea", GIVEN + OTHER),
            submission("coco", "\n\n" + RENAMED + GIVEN),
        ],
        [GIVEN],
    )
    assert (pair.left.key, pair.right.key) == ("ana", "coco")
    [shared] = pair.files
    assert shared.path == PATH and shared.share > 0.9 and not shared.identical
    [region] = shared.regions
    assert "class Session" in region.left and "raise ProtocolError" in region.left
    assert "self.cuenta += 1" in region.right
    lines = (GIVEN + WORK).split("\n")
    assert region.left == "\n".join(lines[region.left_lines[0] - 1 : region.left_lines[1]])
    lines = ("\n\n" + RENAMED + GIVEN).split("\n")
    assert region.right == "\n".join(lines[region.right_lines[0] - 1 : region.right_lines[1]])


def test_functions_in_another_order_are_found() -> None:
    functions = WORK.split("\n\n")
    moved = "\n\n".join([functions[0], *reversed(functions[1:])])
    [pair] = similar_pairs([submission("ana", WORK), submission("bea", moved)], [GIVEN])
    assert pair.files[0].share > 0.6 and len(pair.files[0].regions) >= 2


def test_the_given_code_explains_itself() -> None:
    assert keys(submission("ana", GIVEN), submission("bea", GIVEN), submission("coco", GIVEN + "x = 1\n")) == []
    assert keys(submission("ana", GIVEN + OTHER), submission("bea", GIVEN + WORK)) == []


def test_what_many_write_says_nothing_but_a_copy_of_one_does() -> None:
    class_ = [submission(f"s{number:02}", GIVEN + OTHER) for number in range(8)]
    assert keys(*class_) == []
    assert keys(*class_, submission("x", OTHER + WORK), submission("y", RENAMED)) == [("x", "y")]


def test_a_region_ends_where_the_given_code_begins() -> None:
    [pair] = similar_pairs([submission("ana", WORK + GIVEN), submission("bea", RENAMED + GIVEN)], [GIVEN])
    [region] = pair.files[0].regions
    assert WORK.splitlines()[-1] in region.left and GIVEN.splitlines()[-1] not in region.left


def test_identical_files_say_so() -> None:
    [pair] = similar_pairs([submission("ana", WORK), submission("bea", WORK)], [])
    assert pair.files[0].identical and pair.files[0].share == 1


def test_files_with_different_paths_are_not_compared() -> None:
    assert keys(submission("ana", WORK), submission("bea", WORK, "otra/cosa.py")) == []


@pytest.mark.parametrize(
    "text",
    [
        '"' + '\\"' * 40_000,
        "'" * 80_000,
        '"""\\' * 20_000,
        "r'" * 40_000,
        "x" * 80_000,
        "(" * 80_000,
        "\ud800" * 80_000,
    ],
)
def test_a_hostile_file_costs_what_its_size(text: str) -> None:
    assert len(text) > LONGEST_FILE
    started = time.process_time()
    similar_pairs([submission("ana", text), submission("bea", text + "1")], [])
    assert time.process_time() - started < 5


def test_strings_comments_and_numbers_do_not_count() -> None:
    assert tokens('x = f"a" + 1  # uno' + "\ny" * 12).grams == tokens("z = '''b''' + 0x2F" + "\nw" * 12).grams
    assert tokens("return x" + "\ny" * 12).grams != tokens("yield x" + "\ny" * 12).grams


def test_two_hundred_submissions_take_seconds() -> None:
    rng = random.Random(1)
    words = [f"name{number}" for number in range(50)]

    def program() -> str:
        lines = (
            f"{rng.choice(words)} = {rng.choice(words)}[{rng.choice('+-*/%')}{rng.randint(0, 9)}]" for _ in range(80)
        )
        return "\n".join(lines)

    class_ = [submission(f"s{number:03}", program()) for number in range(198)]
    started = time.process_time()
    found = similar_pairs([*class_, submission("x", WORK), submission("y", RENAMED)], [GIVEN])
    assert time.process_time() - started < 10
    assert [(pair.left.key, pair.right.key) for pair in found] == [("x", "y")]


def test_only_the_class_pages_name_both(tmp_path: Path) -> None:
    class_ = [submission("ana", WORK), submission("bea", OTHER), submission("coco", RENAMED)]
    written = write_reports(class_of(*class_), tmp_path)
    pages = {path.name.partition("-")[0].partition(".")[0]: path.read_text(encoding="utf-8") for path in written}
    assert all(name in pages["parecidos"] for name in ("Ana", "Coco", "cuenta")) and "Bea" not in pages["parecidos"]
    assert "parecidos.html#pareja-1" in pages["index"]
    assert "Coco" not in pages["ana"] and "Ana" not in pages["coco"] and "parecid" not in pages["ana"]
