"""What the audience sees: steps, commands, their output, and the agent's own words. Prints; decides nothing."""

from __future__ import annotations

import os
import sys
import time

_PACE_SECONDS = 0.7
_INDENT = "   "
_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}


class Teller:
    """Writes to stdout: on a terminal in colour (unless NO_COLOR is set), with time to read; else plain, at once."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._colour = self._terminal and not os.environ.get("NO_COLOR")
        self._step = 0

    def line(self, text: str = "") -> None:
        print(text, flush=True)

    def heading(self, text: str) -> None:
        self.line(self._paint("bold", text))

    def step(self, text: str) -> None:
        """Begins the next numbered step."""
        self._step += 1
        self.line()
        self.heading(f"{self._step}. {text}")
        self._pause()

    def command(self, text: str) -> None:
        self.line(_INDENT + self._paint("cyan", f"$ {text}"))
        self._pause()

    def output(self, text: str, highlight: str = "") -> None:
        """What a command printed; lines that begin an interface named `highlight`, or go on with it, stand out."""
        inside = False
        for each in text.splitlines():
            inside = highlight in each if not each.startswith(" ") else inside
            self.line(_INDENT + (self._paint("bold", each) if highlight and inside else each))

    def agent(self, text: str) -> None:
        self.line(_INDENT + self._paint("dim", f"podagent | {text}"))

    def good(self, text: str) -> None:
        self.line(_INDENT + self._paint("green", f"✔ {text}"))

    def bad(self, text: str) -> None:
        self.line(_INDENT + self._paint("red", f"✘ {text}"))

    def _paint(self, colour: str, text: str) -> str:
        return f"\033[{_COLOURS[colour]}m{text}\033[0m" if self._colour else text

    def _pause(self) -> None:
        if self._terminal:
            time.sleep(_PACE_SECONDS)
