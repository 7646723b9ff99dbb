"""The desired state of a pod, independent of the dialect, and the definition of a dialect. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

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
