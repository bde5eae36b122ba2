"""Una tubería con nombre."""

import os
from pathlib import Path


def build(target: Path) -> None:
    target.joinpath("02_websockets").mkdir(parents=True)
    os.mkfifo(target.joinpath("02_websockets", "e1_eco.py"))
