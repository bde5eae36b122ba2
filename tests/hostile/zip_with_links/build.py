"""Un enlace, tal como lo guardan los zip de Unix."""

import stat
import zipfile
from pathlib import Path

from taller.catalog import ROOT


def build(target: Path) -> None:
    link = zipfile.ZipInfo("02_websockets/e1_eco.py")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(target.with_suffix(".zip"), "w") as archive:
        archive.writestr(link, str(ROOT / "solutions" / "02_websockets" / "e1_eco.py"))
