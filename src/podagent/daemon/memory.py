"""Keeps the memory of a small, long-lived process small."""

from __future__ import annotations

import ctypes
import gc
import sys

_M_ARENA_MAX = -8  # of malloc.h
_libc = ctypes.CDLL(None)


def use_one_arena() -> None:
    """Limits glibc to one malloc arena: the default, one per thread, costs memory without a benefit here."""
    if mallopt := getattr(_libc, "mallopt", None):
        mallopt(_M_ARENA_MAX, 1)


def tidy_up_after_imports() -> None:
    """Frees directory listings cached by imports, and garbage, so that the agent can reuse the memory."""
    sys.path_importer_cache.clear()  # later imports fill it again
    gc.collect()


def freeze() -> None:
    """Exempts what exists now from garbage collection, which would only write to its pages."""
    gc.collect()
    gc.freeze()


def trim() -> None:
    """Returns free memory to the kernel. glibc does so only at the end of its heap."""
    gc.collect()
    if malloc_trim := getattr(_libc, "malloc_trim", None):
        malloc_trim(0)
