"""Django Channels con la capa en memoria, la más rápida de las suyas: un solo proceso, sin Redis de por medio."""

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path

# Con la capacidad de fábrica, 100 por conexión, tiraría mensajes en cuanto se retrasara.
LAYER = {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1_000_000}}
settings.configure(CHANNEL_LAYERS={"default": LAYER}, INSTALLED_APPS=["channels"], SECRET_KEY="bench")
django.setup()


class Chat(AsyncWebsocketConsumer):
    groups = ["room"]  # noqa: RUF012 - así lo pide Channels

    async def receive(self, text_data: str = "", bytes_data: bytes = b"") -> None:
        await self.channel_layer.group_send("room", {"type": "say", "text": text_data})

    async def say(self, event: dict[str, str]) -> None:
        await self.send(event["text"])


app = ProtocolTypeRouter({"websocket": URLRouter([path("ws", Chat.as_asgi())])})
