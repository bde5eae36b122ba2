"""¿Está sano este contenedor? `python healthcheck.py web DIRECCIÓN` o `python healthcheck.py worker`; 0 es que sí.

La web lo dice ella misma en /health/ready. El obrero no tiene puerta: cada segundo deja sus constantes en Redis, y si
hace rato que no, es que no trabaja.
"""

import json
import os
import socket
import sys
import time
import urllib.request

from redis import Redis

WAIT_SECONDS = 3
SILENCE_SECONDS = 10


def web(address: str) -> bool:
    with urllib.request.urlopen(f"http://{address}/health/ready", timeout=WAIT_SECONDS) as answer:
        return bool(answer.status == 200)


def worker() -> bool:
    with Redis.from_url(os.environ["REDIS_URL"], socket_timeout=WAIT_SECONDS) as redis:
        mine = f"worker-{socket.gethostname()}-".encode()
        beats = [json.loads(saved)["at"] for name, saved in redis.hgetall("vitals").items() if name.startswith(mine)]
    return any(time.time() - at < SILENCE_SECONDS for at in beats)


if __name__ == "__main__":
    try:
        healthy = web(sys.argv[2]) if sys.argv[1] == "web" else worker()
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.exit(0 if healthy else "no da señales")
