"""What a package brings, and what it makes of it on the host."""

from __future__ import annotations

import json
import re

from packages.bed.host import Host
from packages.bed.packages import Say

# Below these a package may have files; the directories above them are those of every system.
_PLACES = (
    "/opt/kaloom/", "/usr/bin/podagent", "/usr/lib/systemd/system/podagent.service",
    "/usr/lib/systemd/catalog/podagent.catalog", "/usr/share/man/man8/podagent.8.gz", "/usr/share/doc/podagent/",
    "/usr/share/licenses/podagent/", "/usr/share/lintian/overrides/podagent",
)  # fmt: skip
_LOOK = """\
import json, os, stat, sys
seen = {}
for path in sys.stdin.read().splitlines():
    status = os.lstat(path)
    broken = stat.S_ISLNK(status.st_mode) and not os.path.exists(path)
    seen[path] = [stat.filemode(status.st_mode), status.st_uid, status.st_gid, broken]
json.dump(seen, sys.stdout)
"""


def test_files_are_where_they_belong_and_belong_to_root_and_programs_run(installed: Host) -> None:
    machine, files = installed.machine, installed.files()
    seen = json.loads(machine.run(["python3", "-c", _LOOK], given="\n".join(files).encode()))
    for path, (mode, uid, gid, broken) in seen.items():
        assert path.startswith(_PLACES) or any(place.startswith(f"{path.rstrip('/')}/") for place in _PLACES), path
        assert (uid, gid) == (0, 0), path
        assert not broken, path
        if mode[0] == "d":
            assert mode == "drwxr-xr-x", path
        elif mode[0] == "-":
            assert mode in ("-rw-r--r--", "-rwxr-xr-x", "-rw-------", "-rw-r-----"), f"{path}: {mode}"
    for program in ("bin/podagent", "bin/podagent-entrypoint.sh", "cni/bin/kactus"):
        assert seen[f"/opt/kaloom/{program}"][0] == "-rwxr-xr-x"
    assert not [path for path in files if path.endswith((".pyc", "__pycache__"))]

    assert machine.run("podagent --version").strip() == f"podagent {installed.packages.version}"
    assert machine.run("podagent ifname data").strip() == "net8d777f385d3d"
    version = ["env", "CNI_COMMAND=VERSION", "/opt/kaloom/cni/bin/kactus"]
    assert "cniVersion" in machine.run(version, given=b'{"cniVersion":"0.4.0"}')
    assert "TH" in machine.run("zcat /usr/share/man/man8/podagent.8.gz")


def test_the_unit_is_faultless_and_starts_soon_with_the_bytecode_of_the_installation(installed: Host, say: Say) -> None:
    machine, service = installed.machine, installed.service
    unit = service.show("FragmentPath")
    assert machine.run(f"systemd-analyze verify --man=no {unit}").strip() == ""
    score = machine.run("systemd-analyze security --no-pager podagent.service").splitlines()[-1]
    assert machine.run("find /opt/kaloom/lib/podagent/podagent -name 'wiring.*.pyc'")
    machine.write("/root/now", "")
    service.systemctl("restart")
    service.wait_for_status(" pods, ")
    assert machine.run("find /opt/kaloom/lib/podagent -name '*.pyc' -newer /root/now") == ""
    began, ready = (int(service.show(f"{each}TimestampMonotonic")) for each in ("ExecMainStart", "ActiveEnter"))
    memory = re.search(r"VmRSS:\s+(\d+)", machine.read(f"/proc/{service.pid}/status"))
    assert memory
    say(f"{machine.name}: READY {(ready - began) / 1000:.0f} ms after its start, with {int(memory[1]) / 1024:.0f} MiB")
    say(f"{machine.name}: systemd-analyze security: {score.strip()}")
    assert ready - began < 10e6
