"""2.3 Sala de chat

Varias personas en una sala: lo que dice una les llega a todas. Y las personas se van, a veces sin avisar.

**`/rooms/{room}/ws?name=Ana`** es la conexión de una persona a una sala.

- Al entrar, todos los de la sala, quien entra incluido, reciben
  `{"type": "join", "name": "Ana", "members": ["Luis", "Ana"]}` (`members`, por orden de llegada).
- Cuando envía `{"text": "hola"}`, todos los de la sala, **ella incluida**, reciben
  `{"type": "message", "name": "Ana", "text": "hola", "seq": 1}`. `seq` numera los mensajes de cada sala
  desde 1, sin saltos, y todos los ven en el mismo orden.
- Al irse, con despedida o sin ella, los que quedan reciben
  `{"type": "leave", "name": "Ana", "members": ["Luis"]}`.

Lo que pasa en una sala no se ve en las demás. Que una conexión esté muerta no impide que los mensajes y los
avisos lleguen a todas las vivas.

**`GET /rooms`** contesta cuánta gente hay en cada sala con gente: `{"cocina": 2}`. Una sala vacía se olvida: si
alguien vuelve a ella, `seq` empieza otra vez en 1.

Los mensajes que llegan son siempre correctos (de los que no lo son ya te ocupaste en 2.1) y en una sala no
hay dos personas con el mismo nombre. Basta con difundir en un bucle, como en el paso 3 de la lección: el orden
solo se rompería si alguien ni se va ni lee, y de él te ocuparás en la lección 9. Ojo: el paso 3 ordena los
nombres; aquí van por orden de llegada.

Ejemplo (Luis ya estaba):

    Ana  ⇢ entra
        a Luis y a Ana  ← {"type": "join", "name": "Ana", "members": ["Luis", "Ana"]}
    Luis → {"text": "¡hola!"}
        a Luis y a Ana  ← {"type": "message", "name": "Luis", "text": "¡hola!", "seq": 1}
    Luis ⇢ se va
        a Ana           ← {"type": "leave", "name": "Luis", "members": ["Ana"]}
"""

from contextlib import suppress
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI(title="Sala de chat")


class Room:
    """Una sala: quién está, por orden de llegada, y cuántos mensajes lleva."""

    def __init__(self) -> None:
        self.members: dict[WebSocket, str] = {}
        self.seq = 0

    async def broadcast(self, message: dict[str, Any]) -> None:
        """Envía `message` a todos los de la sala; que una conexión falle no estropea las demás."""
        # TODO 1: Envíalo a cada miembro. ¿Qué pasa si uno ya se ha ido, o si la sala cambia mientras?
        return

    async def announce(self, kind: str, name: str) -> None:
        """Avisa de que alguien entra («join») o se va («leave»)."""
        await self.broadcast({"type": kind, "name": name, "members": list(self.members.values())})


rooms: dict[str, Room] = {}


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {name: len(room.members) for name, room in rooms.items()}


@app.websocket("/rooms/{room_name}/ws")
async def chat(websocket: WebSocket, room_name: str, name: str) -> None:
    await websocket.accept()
    # TODO 2: Busca la sala (o créala), apunta a quien entra y anúncialo; difunde cada mensaje con su
    #   número; y, pase lo que pase, al acabar bórralo, anuncia que se ha ido y olvida la sala si queda vacía.
    room = Room()
    await room.announce("join", name)
