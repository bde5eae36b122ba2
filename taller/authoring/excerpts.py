"""Extractos: el código de un README es el de un archivo que se ejecuta, y aquí se compara o se copia.

<!-- extracto: lessons/02_websockets/app.py#nombre -->
```python
…
```
"""

import re
from collections.abc import Iterator
from pathlib import Path

from taller.authoring.findings import Finding
from taller.regions import RegionError, find_region

EXCERPT = re.compile(
    r"(?P<mark><!-- extracto: (?P<path>[^#\s]+)#(?P<region>.+?) -->\n+)(?P<fence>```\w*\n)(?P<code>.*?)(?P<end>^```$)",
    re.DOTALL | re.MULTILINE,
)
CODE_BLOCK = re.compile(r"(?P<mark><!-- extracto: .+? -->\n+)?^```python\n", re.MULTILINE)


def check_excerpts(markdown_file: Path, root: Path) -> Iterator[Finding]:
    """Los extractos que ya no coinciden con su archivo, y el código en Python que no viene de ninguno."""
    text = markdown_file.read_text(encoding="utf-8")
    name = markdown_file.relative_to(root).as_posix()
    for match in EXCERPT.finditer(text):
        where = f"{match['path']}#{match['region']}"
        try:
            current = _excerpt(root, match)
        except (OSError, RegionError) as error:
            yield Finding(name, f"el extracto {where} no existe: {error}")
            continue
        if current != match["code"]:
            yield Finding(name, f"el extracto {where} ha cambiado: python3 curso.py autor sincronizar")
    for block in CODE_BLOCK.finditer(text):
        if not block["mark"]:
            line = text.count("\n", 0, block.start()) + 1
            yield Finding(name, f"línea {line}: código en Python que no es un extracto de ningún archivo")


def update_excerpts(markdown_file: Path, root: Path) -> bool:
    """Copia en el README el código actual de cada extracto; devuelve si ha cambiado algo."""
    text = markdown_file.read_text(encoding="utf-8")
    new = EXCERPT.sub(lambda match: match["mark"] + match["fence"] + _excerpt(root, match) + match["end"], text)
    if new != text:
        markdown_file.write_text(new, encoding="utf-8")
    return new != text


def _excerpt(root: Path, match: re.Match[str]) -> str:
    return find_region((root / match["path"]).read_text(encoding="utf-8"), match["region"]).text + "\n"
