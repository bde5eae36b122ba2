"""Un archivo enorme que comprimido no pesa nada."""

import zipfile
from pathlib import Path


def build(target: Path) -> None:
    with zipfile.ZipFile(target.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("02_websockets/e1_eco.py", b"#" * 100 * 1024 * 1024)
