"""Lo que importa de la salida de una app: ni los avisos de uvicorn ni las entrañas de las bibliotecas."""

import re
from collections.abc import Iterator
from pathlib import Path

FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+)')
GROUP_PREFIX = re.compile(r"^[ +-]*[|+]-* ?")
ROUTINE = re.compile(r"^(INFO|WARNING):\s|^ERROR:\s+Exception in ASGI")
GROUP_RULE = re.compile(r"^[ +-]*\+-+( \d+ -+)?$")
GROUP_SUMMARY = re.compile(r"^(Base)?ExceptionGroup: unhandled errors in a TaskGroup")
STACK_DUMP = re.compile(r"^(Current thread|Stack|  <|  File .* in |Extension modules)")
MAX_LINES = 12


def relevant(text: str, folder: Path) -> list[str]:
    """Las últimas líneas que le dicen algo al estudiante; de una traza, sus líneas y el error final."""
    return list(_without_noise(text.splitlines(), folder))[-MAX_LINES:]


def last_error(text: str, folder: Path) -> str | None:
    """El último error de una traza y la línea del estudiante en la que saltó: `KeyError: 'x' (e1_eco.py, línea 9)`."""
    if "Traceback (most recent call last)" not in text:
        return None
    traceback = text[text.rindex("Traceback (most recent call last)") :]
    lines = [line for line in _without_noise(traceback.splitlines(), folder) if not line.startswith(" ")]
    where = [line.removesuffix(":") for line in lines if re.fullmatch(r"\w+\.py, línea \d+:", line)]
    error = next((line for line in lines if re.match(r"[\w.]+(:|$)", line)), None)
    return f"{error} ({where[-1]})" if error and where else error


def _without_noise(lines: list[str], folder: Path) -> Iterator[str]:
    in_traceback = ours = False
    for raw in lines:
        line = GROUP_PREFIX.sub("", raw)
        if line.removeprefix("Exception Group ").startswith("Traceback (most recent call last)"):
            in_traceback = True
        elif GROUP_RULE.match(raw) or GROUP_SUMMARY.match(line):
            in_traceback = ours = False
        elif not in_traceback:
            if raw.strip() and not ROUTINE.match(raw) and not STACK_DUMP.match(raw):
                yield raw
        elif frame := FRAME.match(line):
            ours = Path(frame["file"]).is_relative_to(folder)
            if ours:
                yield f"{Path(frame['file']).name}, línea {frame['line']}:"
        elif line.startswith("    "):
            if ours and set(line.strip()) - set("^~"):
                yield line
        elif line.strip():
            yield line
            in_traceback = ours = False
