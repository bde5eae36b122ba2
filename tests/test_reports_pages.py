"""Las piezas de las páginas: el diagrama, las diferencias marcadas, los nombres de archivo y lo invisible."""

from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree as Xml

import pytest
from reports_class import HOSTILE, NOON, check, grade, transcript

from taller.grading.reports.contrast import contrast
from taller.grading.reports.names import file_name
from taller.grading.reports.pages import late_text, level, number
from taller.grading.results import Late
from taller.sequence import participants, sequence_svg
from taller.verdicts import Entry
from taller.visible import one_line, visible


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in Xml.fromstring(svg).iter("text")]


def test_a_diagram_has_whoever_speaks_and_what_they_say() -> None:
    entries = [
        Entry(0.0, "control", "control", "note", "Empieza"),
        Entry(0.0012, "Ana", "app", "ws", "hola"),
        Entry(0.01, "app", "redis", "redis", "PUBLISH"),
        Entry(0.02, "app", "Ana", "close", "1000"),
        Entry(0.03, "app", "app", "log", "adiós"),
    ]
    assert participants(entries) == ["Ana", "app", "redis"]
    drawn = texts(sequence_svg(entries))
    assert drawn[:3] == ["Ana", "app", "redis"]
    assert {"Empieza", "hola", "PUBLISH", "1000", "adiós", "1,2 ms"} <= set(drawn)
    steps = [element.attrib["class"] for element in Xml.fromstring(sequence_svg(entries)).iter("g")]
    assert steps[3:] == ["step note", "step ws", "step redis", "step close", "step log"]


def test_an_arrow_goes_from_who_speaks_to_who_hears() -> None:
    svg = Xml.fromstring(sequence_svg([Entry(0, "a", "b", "ws", "ida"), Entry(0, "b", "a", "ws", "vuelta")]))
    there, back = (
        (float(one.attrib["x1"]), float(one.attrib["x2"])) for one in svg.iter("line") if one.attrib["class"] == "arrow"
    )
    assert there[0] < there[1] and back[0] > back[1]


def test_everything_drawn_falls_inside_the_diagram() -> None:
    for entries in (
        transcript(60, "x" * 500),
        [Entry(0, "a", "a", "log", "y" * 900)],
        [Entry(0, "control", "control", "note", "z")],
    ):
        svg = Xml.fromstring(sequence_svg(entries))
        width, height = float(svg.attrib["width"]), float(svg.attrib["height"])
        for box in svg.iter("rect"):
            left, top = float(box.attrib["x"]), float(box.attrib["y"])
            assert left >= 0 and left + float(box.attrib["width"]) <= width
            assert top >= 0 and top + float(box.attrib["height"]) <= height
        assert all(0 < float(text.attrib["y"]) < height for text in svg.iter("text"))


def test_a_hostile_transcript_is_drawn_as_text() -> None:
    svg = sequence_svg([Entry(0, HOSTILE, "app", "ws", HOSTILE), Entry(0, HOSTILE, HOSTILE, "log", "\ud800")])
    assert "<script" not in svg and "<img" not in svg and "\x1b" not in svg and "\u202e" not in svg
    tags = {element.tag for element in Xml.fromstring(svg).iter()}
    assert tags == {"svg", "g", "line", "rect", "text", "title", "path"}


def test_the_difference_is_marked() -> None:
    left, right, difference = contrast(replace(check(1, "failed"), expected="cuenta 1 & ya", received="cuenta 2 & ya"))
    assert left == 'cuenta <mark class="missing">1</mark> &amp; ya'
    assert right == 'cuenta <mark class="extra">2</mark> &amp; ya' and difference == ""
    explained = replace(check(1, "failed"), expected="a: 2", received="a: 1 (se esperaba en «a», 2 y no 1)")
    assert contrast(explained)[1:] == ('a: <mark class="extra">1</mark>', "se esperaba en «a», 2 y no 1")
    unlike = contrast(replace(check(1, "failed"), expected="<b>", received="nada que ver con eso"))
    assert unlike[:2] == ("&lt;b&gt;", "nada que ver con eso")


def test_control_characters_can_be_seen() -> None:
    assert visible("a\x1b[2J\x00\x7f\x9b\r\u202e\u2066\u200b\ufeff\ud800") == (
        "a\\x1b[2J\\x00\\x7f\\x9b\\r\\u202e\\u2066\\u200b\\ufeff\\ud800"
    )
    assert visible("línea\n\t👩‍💻 ندى\u00a0x") == "línea\n\t👩‍💻 ندى\u00a0x"


@pytest.mark.parametrize("key", ["../../etc/passwd", "a/b\\c:d", "CON", "", "\x00\ud800", "x" * 400, "Núñez", HOSTILE])
def test_any_key_makes_a_file_name(key: str) -> None:
    name = file_name(grade(key, "X"))
    assert name.replace("-", "").isalnum() and name.isascii() and len(name) < 60


def test_each_key_has_its_own_file() -> None:
    assert len({file_name(grade(key, "X")) for key in ("Ana", "ana", "aná", "ana.", "АНА")}) == 5


def test_numbers_and_delays_are_written_in_spanish() -> None:
    assert [number(value) for value in (3.0, 2.5, 1 / 3, -0.25)] == ["3", "2,5", "0,33", "−0,25"]
    late = Late(2, NOON, NOON + timedelta(days=1, hours=2, minutes=5), 0.25)
    assert late_text(late) == "lección 2, 1 d 2 h 5 min tarde: −25 %"
    assert [level(points, 6) for points in (0, 1, 3, 5, 6)] == ["l0", "l1", "l2", "l3", "l4"]


def test_a_name_cannot_write_a_line_of_its_own() -> None:
    assert one_line("ana\n✓ luis  10/10\x1b[2K") == "ana ✓ luis 10/10\\x1b[2K"
