"""python-socketio sobre ASGI, como en su guía."""

import socketio

server = socketio.AsyncServer(async_mode="asgi")
app = socketio.ASGIApp(server)


@server.event
async def connect(sid: str, environ: dict[str, object]) -> None:
    await server.enter_room(sid, "room")


@server.event
async def say(sid: str, text: str) -> None:
    await server.emit("say", text, room="room")
