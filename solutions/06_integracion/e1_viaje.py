"""6.1 El viaje de un pedido

Un cambio en un pedido pasa por siete sitios: la petición, PostgreSQL, la caché, Redis Pub/Sub, los WebSockets, los
flujos SSE y el correo. Cada pieza ya la conoces; lo que decide si el conjunto miente es **el orden**.

**`POST /orders`** con `{"item": "té verde", "email": "ana@example.com"}` crea un pedido: 201
`{"id": 7, "item": "té verde", "status": "received", "version": 1}`.

**`PUT /orders/{id}/status`** con `{"status": "shipped"}` lo cambia y le suma uno a `version`: 200, con el pedido; 404
si no existe. Los estados son `received`, `preparing`, `shipped` y `delivered`.

**`GET /orders/{id}`** contesta el pedido; 404 si no existe, y solo mientras no exista. Una vez leído, y mientras no
cambie, no vuelve a preguntar a PostgreSQL: sale de la caché, en Redis. Todo lo que la app guarda en Redis caduca
(`CACHE_TTL` segundos).

**Cada pedido nuevo y cada cambio** es un suceso que reciben, en todos los procesos:

- los WebSockets de `/ws`: `{"type": "order", "id": 7, "version": 2}`. Al entrar reciben antes `{"type": "ready"}`;
- los flujos SSE de `/events`: el evento `order`, con ese mismo JSON. Al entrar, antes, el evento `ready`;
- el cliente, por correo: asunto `Pedido 7: shipped`.

El suceso dice que hay algo nuevo, no qué: quien lo recibe vuelve a pedir `GET /orders/7`. Por eso se promete:

- quien lee **después de recibir el suceso** de la versión 2, en cualquier proceso, no recibe la 1;
- quien lee **después de que conteste el `PUT`**, tampoco;
- nadie lee una versión que aún no está confirmada (COMMIT) en PostgreSQL;
- una lectura lenta que empezó antes del cambio no deja lo viejo en la caché;
- el correo no hace esperar a nadie: ni a la respuesta ni al suceso.

Entre procesos, los sucesos van por Redis Pub/Sub (PUBLISH). Las claves y los canales los eliges tú. La tabla, la caché
con versión de 5.3 (`recall` y `keep`) y el reparto dentro del proceso (`Hub`) están escritos.

Variables de entorno: `DATABASE_URL` (postgresql://taller@127.0.0.1:5432/taller), `REDIS_URL` (redis://127.0.0.1:6379),
`SMTP_URL` (smtp://127.0.0.1:1025) y `CACHE_TTL` (300).

Ejemplo:

    POST /orders  {"item": "té", "email": "ana@example.com"}   201 {"id": 7, "item": "té", "status": "received", …}
    WebSocket /ws                                              ← {"type": "ready"}
    PUT /orders/7/status  {"status": "shipped"}                200 {"id": 7, …, "status": "shipped", "version": 2}
                                                               ← {"type": "order", "id": 7, "version": 2}
    GET /orders/7                                              200 {"id": 7, …, "status": "shipped", "version": 2}
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from email.message import EmailMessage
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import aiosmtplib
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from sqlalchemy import make_url, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

DATABASE_URL = os.environ.get("DATABASE_URL", "postgresql://taller@127.0.0.1:5432/taller")
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
SMTP = urlsplit(os.environ.get("SMTP_URL", "smtp://127.0.0.1:1025"))
CACHE_TTL = float(os.environ.get("CACHE_TTL", "300"))
CHANNEL = "orders"

# SQLAlchemy lee en la URL con qué biblioteca se habla con PostgreSQL.
ENGINE_URL = make_url(DATABASE_URL).set(drivername="postgresql+asyncpg")

logger = logging.getLogger("uvicorn.error")
Status = Literal["received", "preparing", "shipped", "delivered"]


class Base(DeclarativeBase):
    pass


class OrderRow(Base):
    """Un pedido, en PostgreSQL."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]
    email: Mapped[str]
    status: Mapped[str] = mapped_column(default="received")
    version: Mapped[int] = mapped_column(default=1)


class NewOrder(BaseModel):
    item: Annotated[str, Field(min_length=1, max_length=100)]
    email: Annotated[str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]


class Change(BaseModel):
    status: Status


class Order(BaseModel):
    """Lo que ve un cliente de un pedido."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    item: str
    status: Status
    version: int


class OrderEvent(BaseModel):
    """La noticia de que un pedido tiene una versión nueva."""

    type: Literal["order"] = "order"
    id: int
    version: int


# Lo de 5.3: guarda ARGV[2] en KEYS[1] si su versión, ARGV[1], es mayor que la que hay; caduca a los ARGV[3] ms.
STORE_IF_NEWER = """
local held = redis.call('HGET', KEYS[1], 'version')
if held and tonumber(held) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'order', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""


class Hub:
    """Quienes escuchan en este proceso: una cola para cada uno (ponerle un tope, en la lección 9)."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[OrderEvent]] = set()

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[OrderEvent]]:
        queue: asyncio.Queue[OrderEvent] = asyncio.Queue()
        self.queues.add(queue)
        try:
            yield queue
        finally:
            self.queues.discard(queue)

    def deliver(self, event: OrderEvent) -> None:
        for queue in self.queues:
            queue.put_nowait(event)


class Shop:
    def __init__(self, sessions: async_sessionmaker[AsyncSession], redis: Redis, hub: Hub) -> None:
        self.sessions, self.redis, self.hub = sessions, redis, hub

    async def create(self, new: NewOrder) -> OrderRow:
        row = OrderRow(**new.model_dump())
        async with self.sessions.begin() as session:  # al salir del bloque, COMMIT
            session.add(row)
        return row

    async def change(self, order_id: int, status: Status) -> OrderRow | None:
        """Le pone el estado y le suma uno a la versión; None si no existe."""
        # region TODO 1: UPDATE … RETURNING, en una transacción: session.scalar(update(OrderRow).where(…).values(…)
        #   .returning(OrderRow)). Que sume PostgreSQL (OrderRow.version + 1), no Python: pueden cambiarlo dos a la vez.
        #: return None
        statement = (
            update(OrderRow)
            .where(OrderRow.id == order_id)
            .values(status=status, version=OrderRow.version + 1)
            .returning(OrderRow)
        )
        async with self.sessions.begin() as session:
            row: OrderRow | None = await session.scalar(statement)
        return row
        # endregion

    async def read(self, order_id: int) -> Order | None:
        """El pedido, de la caché si está; None si no existe."""
        # region TODO 2: recall(); si no está, session.get(OrderRow, order_id), Order.model_validate(row) y keep().
        #   Lo que no existe no se guarda.
        #: return None
        order = await self.recall(order_id)
        if order is not None:
            return order
        async with self.sessions() as session:
            row = await session.get(OrderRow, order_id)
        if row is None:
            return None
        order = Order.model_validate(row)
        await self.keep(order)
        return order
        # endregion

    async def recall(self, order_id: int) -> Order | None:
        """Lo que hay en la caché de un pedido."""
        raw: Any = await self.redis.hget(f"order:{order_id}", "order")
        return Order.model_validate_json(raw) if raw is not None else None

    async def keep(self, order: Order) -> None:
        """Lo guarda en la caché, salvo que ya haya ahí una versión igual o más reciente."""
        ttl = round(CACHE_TTL * 1000)
        body = order.model_dump_json()
        await self.redis.eval(STORE_IF_NEWER, 1, f"order:{order.id}", order.version, body, ttl)

    async def publish(self, event: OrderEvent) -> None:
        """Lleva el suceso a todos los procesos, este incluido."""
        # region TODO 3: PUBLISH en CHANNEL, como JSON.
        #: return
        await self.redis.publish(CHANNEL, event.model_dump_json())
        # endregion

    async def listen(self, pubsub: PubSub) -> None:
        """Reparte entre los de este proceso lo que se publique en CHANNEL, al que pubsub ya está suscrito."""
        # region TODO 4: Recorre pubsub.listen() y entrega al hub los mensajes de tipo «message».
        #: return
        async for message in pubsub.listen():
            if message["type"] == "message":
                self.hub.deliver(OrderEvent.model_validate_json(message["data"]))
        # endregion

    async def tell(self, row: OrderRow, background: BackgroundTasks) -> Order:
        """Todo lo que sigue a un cambio ya confirmado, por su orden; devuelve el pedido."""
        order = Order.model_validate(row)
        # region TODO 5: La caché, el suceso y el correo (background.add_task(send_mail, row)): ¿en qué orden? Quien
        #   recibe el suceso lee en ese mismo instante.
        #: print("Habría que contarlo:", order)
        await self.keep(order)
        await self.publish(OrderEvent(id=order.id, version=order.version))
        background.add_task(send_mail, row)
        # endregion
        return order


async def send_mail(row: OrderRow) -> None:
    """Avisa al cliente; si no se puede, lo deja dicho (un correo que no se pierda: lección 3)."""
    message = EmailMessage()
    message["From"] = "tienda@example.com"
    message["To"] = row.email
    message["Subject"] = f"Pedido {row.id}: {row.status}"
    message.set_content(f"Tu pedido de {row.item} está así: {row.status}.\n")
    try:
        await aiosmtplib.send(message, hostname=SMTP.hostname, port=SMTP.port)
    except (aiosmtplib.SMTPException, OSError):
        logger.exception("No se pudo avisar del pedido %s", row.id)


async def create_tables(engine: AsyncEngine) -> None:
    """Las crea si no están. Los procesos que arrancan a la vez lo hacen por turno: CREATE TABLE no lo hace solo."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(6)"))
        await connection.run_sync(Base.metadata.create_all)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(ENGINE_URL)
    await create_tables(engine)
    async with Redis.from_url(REDIS_URL) as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        shop = app.state.shop = Shop(sessions, redis, Hub())
        listener = asyncio.create_task(shop.listen(pubsub))
        yield
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener
    await engine.dispose()


app = FastAPI(title="El viaje de un pedido", lifespan=lifespan)


def get_shop(connection: HTTPConnection) -> Shop:
    shop: Shop = connection.app.state.shop
    return shop


ShopDep = Annotated[Shop, Depends(get_shop)]


@app.post("/orders", status_code=201)
async def create_order(new: NewOrder, shop: ShopDep, background: BackgroundTasks) -> Order:
    return await shop.tell(await shop.create(new), background)


@app.put("/orders/{order_id}/status")
async def change_order(order_id: int, change: Change, shop: ShopDep, background: BackgroundTasks) -> Order:
    row = await shop.change(order_id, change.status)
    if row is None:
        raise HTTPException(404, "No existe")
    return await shop.tell(row, background)


@app.get("/orders/{order_id}")
async def read_order(order_id: int, shop: ShopDep) -> Order:
    order = await shop.read(order_id)
    if order is None:
        raise HTTPException(404, "No existe")
    return order


@app.get("/events", response_class=EventSourceResponse)
async def events(shop: ShopDep) -> AsyncIterator[ServerSentEvent]:
    with shop.hub.listening() as queue:
        yield ServerSentEvent(event="ready", data={})
        while True:
            yield ServerSentEvent(event="order", data=await queue.get())


@app.websocket("/ws")
async def live(websocket: WebSocket, shop: ShopDep) -> None:
    await websocket.accept()
    with shop.hub.listening() as queue:
        sender = asyncio.create_task(deliver(websocket, queue))
        try:
            with suppress(WebSocketDisconnect):
                while True:
                    await websocket.receive_text()
        finally:
            sender.cancel()


async def deliver(websocket: WebSocket, queue: asyncio.Queue[OrderEvent]) -> None:
    with suppress(WebSocketDisconnect):
        await websocket.send_json({"type": "ready"})
        while True:
            event = await queue.get()
            await websocket.send_text(event.model_dump_json())
