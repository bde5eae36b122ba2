"""`taller autor nueva`: las carpetas de una lección con un ejemplo mínimo que ya se ejecuta y se comprueba."""

import re
from collections.abc import Iterator
from pathlib import Path

from taller.catalog import ROOT, CatalogError, lessons

TEMPLATES = Path(__file__).parent / "templates"

# Cada plantilla y su sitio; {slug} es el nombre de la carpeta.
PLACES = {
    "README.md": "lessons/{slug}/README.md",
    "app.py.txt": "lessons/{slug}/app.py",
    "index.html": "lessons/{slug}/index.html",
    "paso_1.py.txt": "lessons/{slug}/pasos/paso_1.py",
    "e1_saludo.py.txt": "solutions/{slug}/e1_saludo.py",
    "test_e1_saludo.py.txt": "checks/{slug}/test_e1_saludo.py",
    "variants_e1_saludo.toml": "checks/{slug}/variants_e1_saludo.toml",
    "notebook.ipynb": "notebooks/{slug}.ipynb",
}


def create_lesson(slug: str, root: Path = ROOT) -> Iterator[Path]:
    """Escribe los archivos de la lección `slug` (`11_webrtc`) y los va devolviendo.

    Raises:
        CatalogError: el nombre no tiene la forma debida o el número ya está ocupado.
    """
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", slug):
        raise CatalogError(f"«{slug}» no vale como nombre. Prueba con algo así: python3 curso.py autor nueva 11_webrtc")
    taken = {lesson.slug[:2]: lesson.slug for lesson in lessons(root)}
    if slug[:2] in taken:
        raise CatalogError(
            f"El número {slug[:2]} ya es de {taken[slug[:2]]}. Elige otro: "
            f"python3 curso.py autor nueva {int(max(taken)) + 1:02}{slug[2:]}"
        )
    return _write(slug, root)


def _write(slug: str, root: Path) -> Iterator[Path]:
    title = slug[3:].replace("_", " ").capitalize()
    values = {"{{slug}}": slug, "{{number}}": str(int(slug[:2])), "{{title}}": title, "{{key}}": slug[:2]}
    for template, place in PLACES.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        for mark, value in values.items():
            text = text.replace(mark, value)
        path = root / place.format(slug=slug)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        yield path
