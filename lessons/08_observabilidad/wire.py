"""Un WebSocket del servicio, medido a la vez por las métricas de los apuntes y por las que dicen la verdad."""

import asyncio
import json
import time
from contextlib import suppress

import measured
from desk import Desk, Job, Message, Outbox, Reply
from fastapi import WebSocket, WebSocketDisconnect
from naive import Metrics, Session
from pydantic import ValidationError
from structlog.contextvars import bound_contextvars
from trail import log, say


async def serve(websocket: WebSocket, desk: Desk) -> None:
    """Una conexión, desde que se acepta hasta que acaba, por las buenas o por las malas."""
    await websocket.accept()
    websocket.state.session = session = Session(websocket)
    outbox = Outbox()
    sender = asyncio.create_task(deliver(websocket, outbox, session.metrics))
    try:
        with measured.counted():
            while True:
                await answer(websocket, outbox, desk)
    except WebSocketDisconnect:
        pass
    except measured.Invalid:
        await websocket.close(1003)
    except Exception:
        log.exception("connection_failed")
        await websocket.close(1011)
    finally:
        sender.cancel()
        outbox.discard()


async def answer(websocket: WebSocket, outbox: Outbox, desk: Desk) -> None:
    """Atiende el siguiente mensaje: lo cuenta, lo anota y lo contesta; si pide una tarea, la deja en la cola."""
    text = await websocket.receive_text()
    arrived = time.perf_counter()
    measured.RECEIVED.inc()
    try:
        message = Message.model_validate_json(text)
    except ValidationError:
        raise measured.Invalid from None
    await asyncio.sleep(message.wait)
    if message.fail:
        raise RuntimeError("el mensaje pedía un fallo")
    if message.task:
        accept_task(message, desk)
    for number in range(message.times - 1):
        outbox.put(Reply(json.dumps({"text": f"{number} {message.text}"})))
    outbox.put(Reply(json.dumps({"text": message.text}), completes=arrived))


# region recibir
def accept_task(message: Message, desk: Desk) -> None:
    request_id = message.own_id()
    with bound_contextvars(request_id=request_id):
        log.info("message_received", length=len(message.text))
    say("mensaje recibido")
    desk.accept(Job(request_id, message.text))


# endregion


async def deliver(websocket: WebSocket, outbox: Outbox, naive: Metrics) -> None:
    """Envía lo que haya en la cola, por orden, hasta que la cancelen o la conexión se vaya."""
    with suppress(WebSocketDisconnect):
        while True:
            reply = await outbox.take()
            await websocket.send_text(reply.text)
            measured.SENT.inc()
            naive.sent()
            if reply.completes is not None:
                measured.LATENCY.observe(time.perf_counter() - reply.completes)
