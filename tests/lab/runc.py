"""runc for a host that is itself a sandbox.

Lowering the OOM score and raising limits needs CAP_SYS_RESOURCE, which root in a sandbox may lack.
"""

from __future__ import annotations

import shlex
from pathlib import Path

_CAP_SYS_RESOURCE = 24
# Only a bundle has limits: other calls, which are most, start no interpreter.
_WITHOUT_LIMITS = """\
#!/bin/sh
case " $* " in
*" --bundle "* | *" -b "*) {python} -IS - "$@" <<'END' || exit ;;
import json, sys
for option, value in zip(sys.argv, sys.argv[1:]):
    if option in ("--bundle", "-b"):
        with open(value + "/config.json") as file:
            config = json.load(file)
        for key in ("oomScoreAdj", "rlimits"):
            config["process"].pop(key, None)
        with open(value + "/config.json", "w") as file:
            json.dump(config, file)
END
esac
exec {runc} "$@"
"""


def may_raise_limits() -> bool:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return bool(int(fields["CapEff"], 16) >> _CAP_SYS_RESOURCE & 1)


def write_without_limits(path: Path, python: str, runc: str) -> None:
    """Writes a program to use in place of `runc`, run by `python`: it asks for neither score nor limits."""
    path.write_text(_WITHOUT_LIMITS.format(python=shlex.quote(python), runc=shlex.quote(runc)))
    path.chmod(0o755)
