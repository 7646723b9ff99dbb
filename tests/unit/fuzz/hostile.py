"""Hostile input, made of real examples: `hostile` yields bytes that few readers expect.

`FUZZ_EXAMPLES` in the environment is the number of inputs of a property. A property prints the input that broke it; it
then becomes an explicit `@example`.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or 300)
LONGEST_MESSAGE = 3000
_LONGEST_S = 2.0

# Text that `json` does not write stands in a document as a mark of its own.
_RAW = {
    "@exponent@": "1e999",
    "@digits@": "9" * 5000,
    "@deep@": "[" * 900 + "]" * 900,
    "@deeper@": '{"a":' * 2000 + "1" + "}" * 2000,
    "@cut@": "[" * 3000,
}
_TWICE = "@twice"
_SCALARS: Sequence[Any] = (
    *(None, True, False, 0, 1, -1, 1.5, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), *_RAW),
    *(
        "",
        " ",
        "\0",
        "\n",
        "\ud800",
        "\u202e",
        "\u017f",
        "é",
        "x" * 300,
        "x" * 3000,
        "../../etc/shadow",
        "/",
        ".",
        "..",
    ),
    *("a;b=c", "a=b", "02:00:00:00:00:01", "FF:FF:FF:FF:FF:FF", "02:AB:00:00:00:01\n", "10.0.0.1/33", "::1%lo/64"),
    *("kactus", "multus", "/bin/sh", "host-device", "default", "true", "1.0.0", "9.9.9", "\ufeff", "{}", "[]"),
)
_BYTES = (
    b"",
    b"\0",
    b"\n",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b",",
    b":",
    b"*",
    b"&a",
)
_BEGINNINGS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b" \n\t", b"[" * 5000)

_T = TypeVar("_T")
Mutation = Callable[[Random, Any, Sequence[str]], Any]


def hostile(*real: Any, odd: Sequence[Any] = ()) -> st.SearchStrategy[bytes]:
    """Hostile variants of the `real` examples, which are JSON values, or bytes in another format.

    Args:
        odd: further scalars to put in any place.
    """
    keys = sorted({key for each in real for key in _keys(each)}) or ["a"]

    def made(random: Random) -> bytes:
        return _made(random, real, keys, (*_SCALARS, *odd))

    # A true generator draws a seed only: a hundred times as fast as if each choice were drawn. Nothing shrinks.
    return st.randoms(use_true_random=True).map(made)


def mutated(real: Any) -> st.SearchStrategy[bytes]:
    """`real` with bytes changed, lost, added; never with parts in the place of others."""
    content = real if isinstance(real, bytes) else written(real)
    return st.randoms(use_true_random=True).map(lambda random: _damaged(random, content, _HARM))


def fuzzed(
    *examples: st.SearchStrategy[Any], share: float = 1.0
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a property of such input; one of a slow reader takes a `share` of the inputs."""
    limits = settings(
        max_examples=max(1, int(EXAMPLES * share)),
        deadline=None,
        database=None,  # it would keep seeds
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    return lambda check: limits(given(*examples)(check))


@contextmanager
def bounded() -> Iterator[None]:
    """A reader takes little time of the processor, whatever it reads."""
    began = time.thread_time()
    yield
    assert time.thread_time() - began < _LONGEST_S


def assert_plain(error: Exception | str, *names: str, secret: str = "", codes: Collection[int] = ()) -> None:
    """The message names what is wrong, on one line of bounded length that any terminal and journal can show.

    Args:
        secret: what it must not show.
        codes: the codes that the error may have.
    """
    text = str(error)
    assert text.isprintable(), text
    assert len(text) < LONGEST_MESSAGE, text
    assert all(name in text for name in names), text
    assert not secret or secret not in text, text
    assert not codes or getattr(error, "code", None) in codes, text


def members(value: object) -> Iterator[tuple[str, Any]]:
    """All members of all objects in `value`, with keys in the spelling that Go's decoder compares."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from members(inner)
    if isinstance(value, dict):
        yield from ((key.casefold(), member) for key, member in value.items())


def written(document: Any) -> bytes:
    """The JSON text of a document, with its marks replaced."""
    text = json.dumps(document).replace(f'{_TWICE}"', '"')
    return re.sub(r'"(@\w+@)"', lambda mark: _RAW.get(mark[1], mark[0]), text).encode()


def _made(random: Random, real: Sequence[Any], keys: Sequence[str], scalars: Sequence[Any]) -> bytes:
    kind = random.random()
    if kind < 0.03:
        return random.randbytes(random.randrange(64))
    if kind < 0.15:
        return written(_anything(random, keys, scalars, 4))
    example = random.choice(real)
    if isinstance(example, bytes):
        return _damaged(random, example, (*_HARM, _moved))
    document = json.loads(json.dumps(example))
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        document = _changed(random, document, keys, scalars)
    content = written(document)
    return content if random.random() < 0.7 else _damaged(random, content, (*_HARM, _moved))


def _anything(random: Random, keys: Sequence[str], scalars: Sequence[Any], depth: int) -> Any:
    kind = random.random() if depth else 0.0
    if kind < 0.5:
        return random.choice(scalars)
    if kind < 0.7:
        return [_anything(random, keys, scalars, depth - 1) for _ in range(random.randrange(4))]
    return {random.choice(keys): _anything(random, keys, scalars, depth - 1) for _ in range(random.randrange(5))}


def _changed(random: Random, document: Any, keys: Sequence[str], scalars: Sequence[Any]) -> Any:
    """The document with a change in one place of it."""
    places = [place for place in _places(document) if place]
    if not places:
        return _anything(random, keys, scalars, 3)
    container, key = random.choice(places)
    value = container[key]
    kind = random.randrange(8)
    if kind < 3:
        container[key] = _anything(random, keys, scalars, 2)
    elif kind == 3:
        del container[key]
    elif kind == 4:
        container[key] = random.choice(([value], {random.choice(keys): value}, str(value), [value] * 9))
    elif kind == 5:
        other, place = random.choice(places)
        container[key] = json.loads(json.dumps(other[place])) if place in _keys_of(other) else value
    elif isinstance(container, list):
        container.insert(random.randrange(len(container) + 1), _anything(random, keys, scalars, 2))
    else:
        name = random.choice((key.upper(), key.replace("s", "\u017f"), f"{key}{_TWICE}", random.choice(keys), "\ud800"))
        container[name] = random.choice((value, _anything(random, keys, scalars, 2)))
    return document


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in _keys_of(value):
        yield value, key
        yield from _places(value[key])


def _keys_of(value: Any) -> Collection[Any]:
    return list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()


def _keys(value: Any) -> Iterator[str]:
    return (key for _, key in _places(value) if isinstance(key, str))


def _damaged(random: Random, content: bytes, harms: Sequence[Callable[[Random, bytearray, int], None]]) -> bytes:
    damaged = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        random.choice(harms)(random, damaged, random.randrange(len(damaged) + 1))
    return bytes(damaged)


def _flipped(random: Random, content: bytearray, at: int) -> None:
    if at < len(content):
        content[at] ^= 1 << random.randrange(8)


def _inserted(random: Random, content: bytearray, at: int) -> None:
    content[at:at] = random.choice(_BYTES)


def _begun(random: Random, content: bytearray, at: int) -> None:
    content[:0] = random.choice(_BEGINNINGS)


def _lost(random: Random, content: bytearray, at: int) -> None:
    del content[at : at + random.choice((1, 2, 10, 100))]


def _truncated(random: Random, content: bytearray, at: int) -> None:
    if random.random() < 0.3:
        del content[at:]


def _moved(random: Random, content: bytearray, at: int) -> None:
    start = random.randrange(len(content) + 1)
    content[at:at] = content[start : start + random.randrange(100)]


_HARM = (_flipped, _flipped, _inserted, _inserted, _lost, _truncated, _begun)
