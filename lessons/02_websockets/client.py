"""Un oyente del chat en Python, que vuelve solo cuando la conexión se cae.

python client.py 'ws://127.0.0.1:8000/ws/chat?name=Eva'
"""

import asyncio
import sys
from contextlib import suppress

from websockets import ConnectionClosed, InvalidStatus
from websockets.asyncio.client import connect


# region escuchar
async def listen(url: str) -> None:
    async for websocket in connect(url):
        print("conectada", flush=True)
        with suppress(ConnectionClosed):
            async for text in websocket:
                print(text, flush=True)
        print("perdida: vuelvo a intentarlo", flush=True)


# endregion


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("Falta la dirección del chat. Prueba: python client.py 'ws://127.0.0.1:8000/ws/chat?name=Eva'")
    try:
        asyncio.run(listen(sys.argv[1]))
    except InvalidStatus as refusal:
        code = refusal.response.status_code
        sys.exit(f"Rechazada con un {code}. Prueba con otro «name» en la dirección.")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
