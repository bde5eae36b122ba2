"""Más de lo que se lee de un archivo."""

from pathlib import Path


def build(target: Path) -> None:
    target.joinpath("02_websockets").mkdir(parents=True)
    target.joinpath("02_websockets", "e1_eco.py").write_text("x = 1\n" * 500_000)
