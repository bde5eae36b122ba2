import contextlib
import fcntl
import os
import threading

from fastapi import FastAPI


def is_ours_to_write(descriptor: int) -> bool:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
    except OSError:
        return False


def flood(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, b'{"event": "ready"}\n' * 1000 + b"x" * 60_000)


# La salida, la de errores y la primera que no es ninguna de las dos: por la que se avisa de que la app está lista.
notes = next(number for number in range(3, 64) if is_ours_to_write(number))
for number in (1, 2, notes):
    threading.Thread(target=flood, args=(number,), daemon=True).start()

app = FastAPI()
