"""Lee docker-compose.yml y el Dockerfile como lo haría Docker: variables, listas y qué acaba dentro de la imagen."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from taller.catalog import ROOT

VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


class MissingVariable(Exception):
    """Docker se negaría a arrancar."""


def interpolate(value: Any, env: Mapping[str, str]) -> Any:
    """`value` con sus `${…}` resueltos, a cualquier profundidad."""
    if isinstance(value, dict):
        return {key: interpolate(each, env) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolate(each, env) for each in value]
    return VARIABLE.sub(lambda found: _resolve(found, env), value) if isinstance(value, str) else value


def _resolve(found: "re.Match[str]", env: Mapping[str, str]) -> str:
    name, kind, rest = found[1], found[2], found[3]
    if env.get(name):
        return env[name]
    if kind == "?":
        raise MissingVariable(f"{name}: {rest}")
    return rest or ""


def load(env: Mapping[str, str]) -> dict[str, Any]:
    """El archivo entero, con el entorno `env`."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return dict(interpolate(document, env))


def env_example() -> dict[str, str]:
    """Las variables de `.env.example`, con sus valores."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@dataclass(frozen=True)
class Stage:
    """Una etapa del Dockerfile: de cuál sale y qué copia."""

    parent: str
    copies: tuple[tuple[str, str], ...]


def stages() -> dict[str, Stage]:
    found: dict[str, Stage] = {}
    name = ""
    for line in DOCKERFILE.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            name = match[2]
            found[name] = Stage(match[1], ())
        elif match := re.fullmatch(r"COPY (\S+) (\S+)", line):
            found[name] = Stage(found[name].parent, (*found[name].copies, (match[1], match[2])))
    return found


def build(target: str, folder: Path) -> None:
    """Deja en `folder` lo que la imagen `target` tiene en /app."""
    known = stages()
    chain = [target]
    while known[chain[-1]].parent in known:
        chain.append(known[chain[-1]].parent)
    for name in reversed(chain):
        for source, destination in known[name].copies:
            origin, place = ROOT / source, folder / destination
            if origin.is_dir():
                shutil.copytree(origin, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(origin, place)
