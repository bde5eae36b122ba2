import zlib

# Un gigabyte de ceros en un megabyte: el mismo trozo comprimido, muchas veces.
packer = zlib.compressobj(9, zlib.DEFLATED, -15)
BOMB = (packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)) * 64


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/json"), (b"content-encoding", b"deflate")],
        }
    )
    await send({"type": "http.response.body", "body": BOMB})
