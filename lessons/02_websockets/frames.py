"""Analizador de tramas WebSocket (RFC 6455, sección 5): bytes sueltos a la entrada, tramas a la salida.

Puro: no toca la red. TCP entrega los bytes en trozos cualesquiera, así que una trama puede llegar partida
en muchas lecturas, o muchas tramas en una sola; `FrameParser` da lo mismo en los dos casos. De la carga
solo guarda el principio, para que una trama de 16 MB no ocupe 16 MB aquí.
"""

import struct
from dataclasses import dataclass, field

OPCODES = {0: "CONTINUACIÓN", 1: "TEXTO", 2: "BINARIO", 8: "CIERRE", 9: "PING", 10: "PONG"}
PREVIEW = 160


@dataclass(frozen=True, slots=True)
class Frame:
    header: bytes
    length: int
    preview: bytes

    @property
    def fin(self) -> bool:
        return bool(self.header[0] & 0b1000_0000)

    @property
    def compressed(self) -> bool:
        """RSV1: la carga va comprimida con permessage-deflate."""
        return bool(self.header[0] & 0b0100_0000)

    @property
    def opcode(self) -> int:
        return self.header[0] & 0b0000_1111

    @property
    def mask(self) -> bytes | None:
        return self.header[-4:] if self.header[1] & 0b1000_0000 else None

    @property
    def name(self) -> str:
        return OPCODES.get(self.opcode, f"RESERVADO {self.opcode}")

    @property
    def close_code(self) -> int | None:
        """El código de un cierre; `None` si no es un cierre o viene vacío (lo que se ve como 1005)."""
        if self.opcode != 8 or self.length < 2:
            return None
        return int.from_bytes(self.preview[:2])

    @property
    def text(self) -> str | None:
        """La carga como texto, si se puede leer; la razón, si es un cierre."""
        if self.compressed or self.opcode not in (0, 1, 8):
            return None
        body = self.preview[2:] if self.opcode == 8 else self.preview
        return body.decode(errors="replace")


@dataclass(slots=True)
class FrameParser:
    _header: bytearray = field(default_factory=bytearray)
    _kept: bytearray = field(default_factory=bytearray)
    _missing: int | None = None

    def feed(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        position = 0
        while position < len(data):
            if self._missing is None:
                position += self._take_header(data[position])
            else:
                position += self._take_payload(data[position : position + self._missing])
            if self._missing == 0:
                frames.append(self._finish())
        return frames

    def _take_header(self, byte: int) -> int:
        self._header.append(byte)
        if len(self._header) == header_size(self._header):
            self._missing = payload_length(self._header)
        return 1

    def _take_payload(self, chunk: bytes) -> int:
        assert self._missing is not None
        self._missing -= len(chunk)
        self._kept += chunk[: PREVIEW - len(self._kept)]
        return len(chunk)

    def _finish(self) -> Frame:
        header, length = bytes(self._header), payload_length(self._header)
        masked = bool(header[1] & 0b1000_0000)
        preview = unmask(self._kept, header[-4:]) if masked else bytes(self._kept)
        self._header, self._kept, self._missing = bytearray(), bytearray(), None
        return Frame(header, length, preview)


# region cabecera
def header_size(header: bytes | bytearray) -> int:
    """2 bytes; 2 u 8 más si la longitud no cabe en 7 bits; 4 más si hay máscara."""
    if len(header) < 2:
        return 2
    extended = {126: 2, 127: 8}.get(header[1] & 0b0111_1111, 0)
    return 2 + extended + (4 if header[1] & 0b1000_0000 else 0)


def payload_length(header: bytes | bytearray) -> int:
    short = header[1] & 0b0111_1111
    if short == 126:
        return int(struct.unpack_from("!H", header, 2)[0])
    if short == 127:
        return int(struct.unpack_from("!Q", header, 2)[0])
    return short


def unmask(payload: bytes | bytearray, mask: bytes) -> bytes:
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


# endregion
