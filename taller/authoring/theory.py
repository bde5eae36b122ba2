"""El mapa de la teoría: cada apartado tiene su sitio en una lección, y los enlaces llevan a alguna parte."""

import re
from collections.abc import Iterator
from pathlib import Path

from taller.anchors import anchors
from taller.authoring.findings import Finding
from taller.catalog import Lesson

MAP = Path("docs") / "mapa_teoria.md"
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def check_links(markdown_file: Path, root: Path) -> Iterator[Finding]:
    """Los enlaces relativos de un Markdown que no llevan a un archivo, o cuyo ancla no existe en él."""
    name = markdown_file.relative_to(root).as_posix()
    for match in LINK.finditer(markdown_file.read_text(encoding="utf-8")):
        target = match["target"]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (markdown_file.parent / path).resolve() if path else markdown_file
        if not file.exists():
            yield Finding(name, f"el enlace {target} no lleva a ningún archivo")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text(encoding="utf-8")):
            yield Finding(name, f"el enlace {target} lleva a un apartado que no existe")


def check_theory(lesson: Lesson) -> Iterator[Finding]:
    """Una lección escrita tiene su sección en el mapa, con al menos un apartado que lleve a su README."""
    path = lesson.root / MAP
    section = path.read_text(encoding="utf-8").partition(f"\n## {lesson.slug[:2]} ")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and f"lessons/{lesson.slug}/" in line]
    if not rows:
        yield Finding(MAP.as_posix(), f"no dice dónde está cada apartado de la lección {lesson.slug[:2]}")
    for row in section.splitlines():
        if row.startswith("| ") and not row.startswith(("| ---", "| Apartado")) and row not in rows:
            yield Finding(MAP.as_posix(), f"un apartado no lleva a la lección: {row.split('|')[1].strip()}")
