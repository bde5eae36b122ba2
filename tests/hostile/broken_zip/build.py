"""Empieza como un zip."""

from pathlib import Path


def build(target: Path) -> None:
    target.with_suffix(".zip").write_bytes(b"PK\x03\x04" + b"hostil" * 100)
