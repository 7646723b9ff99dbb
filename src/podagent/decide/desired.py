"""The desired state of a pod, independent of the dialect, and the definition of a dialect. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from podagent.foreign import json_kind
from podagent.model import Attachment


class Desired(NamedTuple):
    """The attachments a pod wants, and the interfaces to leave alone.

    Attributes:
        attachments: to attach, lower layers first.
        held: interface names to leave as they are: the entry is faulty, or excludes the agent.
        hold_all: detach nothing: a fault hides part of the desired state.
        problems: one message per fault, for the user; limited in number, so that no pod can flood the journal.
    """

    attachments: tuple[Attachment, ...] = ()
    held: frozenset[str] = frozenset()
    hold_all: bool = False
    problems: tuple[str, ...] = ()


LONGEST_ANNOTATION = 64 << 10


class Unreadable(str):
    """Takes the place of an annotation that is not kept; its text is the reason. It holds everything as it is."""

    __slots__ = ()


def kept(annotation: str, value: object) -> str:
    """`value` if it is text, short enough to be kept for every pod; else an `Unreadable`."""
    if not isinstance(value, str):
        return Unreadable(f"annotation {annotation} is {json_kind(value)}, not text")
    if len(value) > LONGEST_ANNOTATION:
        length = f"{len(value)} characters, more than the {LONGEST_ANNOTATION} allowed"
        return Unreadable(f"annotation {annotation} has {length}")
    return value


Read = Callable[[str, str, Collection[str]], Desired]
"""(annotation text, namespace of the pod, namespaces whose definitions every pod may use) -> `Desired`.

Never raises: faults are part of the result, so that valid entries are still attached.
"""


class Dialect(NamedTuple):
    """One annotation by which pods request networks.

    Attributes:
        annotation: key of the annotation.
        read: parser of the annotation.
    """

    annotation: str
    read: Read
