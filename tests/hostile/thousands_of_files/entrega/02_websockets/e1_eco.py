import contextlib
from pathlib import Path

from fastapi import FastAPI

kept = []
with contextlib.suppress(OSError):
    while True:
        kept.append(open("/dev/null"))
kept.clear()
with contextlib.suppress(OSError):
    for number in range(20_000):
        Path(f"/tmp/{number}").touch()

app = FastAPI()
