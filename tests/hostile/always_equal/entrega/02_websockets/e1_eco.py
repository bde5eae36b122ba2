from fastapi import FastAPI, WebSocket


class Equal(str):
    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


app = FastAPI()


@app.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        await websocket.receive()
        await websocket.send_text(Equal('{"type": "echo", "text": "igual", "seq": 1}'))
