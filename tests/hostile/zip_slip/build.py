"""Rutas que suben, rutas absolutas y unidades de Windows."""

import zipfile
from pathlib import Path


def build(target: Path) -> None:
    with zipfile.ZipFile(target.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("../../../../tmp/hostil", "/tmp/hostil", "02_websockets/../../hostil", "C:\\hostil"):
            archive.writestr(name, "hostil")
        archive.writestr("02_websockets/e1_eco.py", "from fastapi import FastAPI\n\napp = FastAPI()\n")
