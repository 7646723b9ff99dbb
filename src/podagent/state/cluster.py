"""The identity of the cluster for which the attachments of this node were made, in a file of the state directory."""

from __future__ import annotations

from pathlib import Path

from podagent.errors import StoreError

_LONGEST = 256


class ClusterFile:
    """``cluster`` in the state directory: the UID of the namespace kube-system in one line."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "cluster"
        self._last = ""

    def read(self) -> str:
        """The UID, "" if there is none. Raises StoreError if that cannot be determined."""
        try:
            with self.path.open(encoding="utf-8", errors="replace") as file:
                self._last = file.read(_LONGEST).strip()
        except FileNotFoundError:
            if self.path.parent.exists():  # else it was lost with the directory, not by `forget` of another process
                self._last = ""
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error.strerror}") from error
        return self._last

    def write(self, uid: str) -> None:
        """Replaces the UID. Raises StoreError."""
        unfinished = self.path.with_suffix(".new")
        try:
            unfinished.write_text(f"{uid}\n", encoding="utf-8")
            unfinished.replace(self.path)
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror}") from error
        self._last = uid

    def restore(self) -> None:
        """Writes what was last read or written, if something removed it with the directory. Raises StoreError."""
        if self._last and not self.path.exists():
            self.write(self._last)

    def forget(self) -> bool:
        """Removes the UID. Returns whether there was one. Raises StoreError."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(f"cannot remove {self.path}: {error.strerror}") from error
        return True
