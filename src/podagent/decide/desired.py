"""What a pod wants, in whatever dialect it was written, and what a dialect is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from podagent.model import Attachment


class Desired(NamedTuple):
    """The attachments a pod wants, and what must not be touched because its entry could not be understood.

    Attributes:
        attachments: to be attached, lower layers first.
        held: interface names that are left as they are: the entry is faulty, or asks the agent to keep off.
        hold_all: nothing may be detached: a fault hides what was wanted.
        problems: one message for each fault, for the user; at most so many that nobody floods the journal with them.
    """

    attachments: tuple[Attachment, ...] = ()
    held: frozenset[str] = frozenset()
    hold_all: bool = False
    problems: tuple[str, ...] = ()


Read = Callable[[str, str, Collection[str]], Desired]
"""(text of the annotation, namespace of the pod, namespaces whose definitions every pod may use) -> `Desired`.

Never raises: faults are reported in the answer, so that valid entries beside them are still served.
"""


class Dialect(NamedTuple):
    """One way to ask for networks.

    Attributes:
        annotation: key of the pod's annotation.
        read: its parser.
    """

    annotation: str
    read: Read
