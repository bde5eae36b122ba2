"""Muchos archivos vacíos."""

import zipfile
from pathlib import Path


def build(target: Path) -> None:
    with zipfile.ZipFile(target.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(25_000):
            archive.writestr(f"02_websockets/{number}.py", "")
