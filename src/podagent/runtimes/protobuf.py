"""Reads and writes protocol buffers, as far as the messages of CRI need them. Pure.

Whatever it is given, a reader returns values within the message, or raises ValueError.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Container, Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_SIXTY_FOUR_BITS = 1 << 64
_ALL = range(1, 1 << 29)
MOST_FIELDS = 1 << 16
"""Of a message. A field of two bytes takes a hundred times as many in memory."""


class Fields:
    """The fields of a message. Those that nobody asks for may have any value."""

    def __init__(self, message: bytes, kept: Container[int] = _ALL) -> None:
        """Keeps the fields with these numbers, of which there may be `MOST_FIELDS`. Raises ValueError."""
        self._values: dict[int, list[int | bytes]] = {}
        fields = (each for each in _fields(message) if each[0] in kept)
        for count, (number, value) in enumerate(fields):
            if count == MOST_FIELDS:
                raise ValueError(f"a message has more than {MOST_FIELDS} fields")
            self._values.setdefault(number, []).append(value)

    def number(self, field: int) -> int:
        """An enum or a signed number; 0 if it is absent. Raises ValueError."""
        value = self._values.get(field, [0])[-1]
        if not isinstance(value, int):
            raise ValueError(f"field {field} is no number")  # noqa: TRY004 - one error for all callers
        return value - _SIXTY_FOUR_BITS if value >> 63 else value

    def text(self, field: int) -> str:
        """A string; "" if it is absent. Raises ValueError."""
        return self._all_bytes(field)[-1].decode() if field in self._values else ""

    def message(self, field: int, kept: Container[int] = _ALL) -> Fields:
        """A message within this one; one without fields if it is absent. Raises ValueError."""
        return Fields(b"".join(self._all_bytes(field)), kept)  # one in parts is their concatenation

    def messages(self, field: int, kept: Container[int] = _ALL) -> Iterator[Fields]:
        """Repeated messages. Raises ValueError."""
        return (Fields(each, kept) for each in self._all_bytes(field))

    def map(self, field: int) -> dict[str, str]:
        """A map of strings. Raises ValueError."""
        return {entry.text(1): entry.text(2) for entry in self.messages(field)}

    def _all_bytes(self, field: int) -> list[bytes]:
        values = [value for value in self._values.get(field, ()) if isinstance(value, bytes)]
        if len(values) < len(self._values.get(field, ())):
            raise ValueError(f"field {field} is no text or message")
        return values


def number(field: int, value: int) -> bytes:
    """A number that is not negative."""
    return _varint(field << 3 | _VARINT) + _varint(value)


def text(field: int, value: str) -> bytes:
    return message(field, value.encode())


def message(field: int, content: bytes) -> bytes:
    """A message within another one. It is there, even if it is empty."""
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        field, kind = tag >> 3, tag & 7
        if field not in _ALL:
            raise ValueError(f"no field has the number {field}")
        if kind == _VARINT:
            value, at = _read_varint(message, at)
            yield field, value
            continue
        if kind == _BYTES:
            size, at = _read_varint(message, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError(f"field {field} is of the unknown kind {kind}")
        if size > len(message) - at:
            raise ValueError(f"field {field} ends beyond its message")
        content = message[at : at + size]
        at += size
        yield field, content if kind == _BYTES else int.from_bytes(content, "little")


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at this position, and the position after it."""
    if at < len(message) and message[at] < 0x80:
        return message[at], at + 1  # as nearly all are
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("a number ends beyond its message")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= _SIXTY_FOUR_BITS:
                break
            return value, at
    raise ValueError("a number has more than 64 bits")
