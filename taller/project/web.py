"""Un proceso web de Plaza sobre un socket que ya escucha: `python -m taller.project.web DESCRIPTOR`.

Varios comparten así un puerto. `uvicorn --fd` no sirve: toma el socket por uno Unix, y sin TCP_NODELAY cada trama
pequeña esperaría a la anterior.
"""

import socket
import sys

import uvicorn

# Para lo que se esté contestando al apagar: los flujos y los WebSockets se despiden antes.
GRACE_SECONDS = 2


def main(descriptor: int) -> None:
    config = uvicorn.Config(
        "plaza.main:app",
        log_level="warning",
        access_log=False,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
