"""Other versions of the packages under test, repacked rather than built: that would take a minute for each."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packages.bed.packages import CHECKOUT, SETTINGS, Packages, rpmbuild, run

# What the settings of the newer version say.
NEWER = "shipped by the newer version"

RELEASED = "0.3.0"
_RELEASED_COMMIT = "d4ed94f76997dfd7c5e571a119166b4282a56ed6"
# What of its sources the packages hold as it is, and where.
_RELEASED_FILES = {
    "src/podagent": "opt/kaloom/lib/podagent/podagent",
    "etc/podagent.toml": "opt/kaloom/etc/podagent.toml",
    "etc/podagent.conf": "opt/kaloom/etc/podagent.conf",
    "systemd/podagent.service": "usr/lib/systemd/system/podagent.service",
    "systemd/podagent.catalog": "usr/lib/systemd/catalog/podagent.catalog",
}
_PYTHON = "opt/kaloom/lib/podagent/podagent"

Change = Callable[[Path], None]
"""Changes what is installed, laid out below the directory."""


def as_newer(packages: Packages, directory: Path) -> Packages:
    """The same packages as the version after them, which also ships other settings."""
    head, last = packages.version.rsplit(".", 1)
    version = f"{head}.{int(last) + 1}"

    def change(root: Path) -> None:
        file = root / _PYTHON / "__init__.py"
        file.write_text(file.read_text().replace(f'"{packages.version}"', f'"{version}"'))
        for settings in SETTINGS:
            with (root / settings.lstrip("/")).open("a") as shipped:
                shipped.write(f"\n# {NEWER}\n")

    return _repacked(packages, version, directory, change)


def as_released(packages: Packages, directory: Path) -> Packages:
    """Those of the version that was released before: its code, settings and unit, beside the libraries of today."""
    released = _released_sources(directory / "sources")

    def change(root: Path) -> None:
        shutil.rmtree(root / _PYTHON)
        for source, target in _RELEASED_FILES.items():
            run(["cp", "-rT", str(released / source), str(root / target)], root)

    return _repacked(packages, RELEASED, directory, change)


def _released_sources(directory: Path) -> Path:
    directory.mkdir(parents=True)
    git = ["git", "-c", f"safe.directory={CHECKOUT}", "-C", str(CHECKOUT), "archive", _RELEASED_COMMIT]
    archive = subprocess.run([*git, *_RELEASED_FILES], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert archive.returncode == 0, (
        f"the sources of {RELEASED} are not in the history of {CHECKOUT}: commit {_RELEASED_COMMIT} is needed, which a"
        f" shallow clone gets by git fetch --unshallow\n{archive.stderr.decode(errors='replace')}"
    )
    subprocess.run(["tar", "-x", "-C", str(directory)], input=archive.stdout, check=True)
    return directory


def _repacked(packages: Packages, version: str, directory: Path, change: Change) -> Packages:
    directory.mkdir(exist_ok=True)
    with ThreadPoolExecutor() as pool:
        deb = pool.submit(_repack_deb, packages, version, directory / "deb", change)
        rpm = pool.submit(_repack_rpm, packages, version, directory / "rpm", change)
        return Packages(version, deb.result(), rpm.result())


def _repack_deb(packages: Packages, version: str, root: Path, change: Change) -> Path:
    run(["dpkg-deb", "--raw-extract", str(packages.deb), str(root)], root.parent)
    change(root)
    control = root / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {packages.version}-", f"Version: {version}-"))
    target = root.with_suffix(".deb")
    run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(root), str(target)], root.parent)
    return target


def _repack_rpm(packages: Packages, version: str, root: Path, change: Change) -> Path:
    root.mkdir()
    run(["sh", "-c", f"rpm2archive - <{packages.rpm} | tar -xzp"], root)
    change(root)
    spec = root.with_suffix(".spec")
    shipped = (CHECKOUT / "packaging/rpm/podagent.spec").read_text()
    spec.write_text(re.sub(r"(%global _binary_payload) .*", r"\1 w1.gzdio", shipped))
    about = {"stage": root, "podagent_version": version, "podagent_release": 1, "podagent_date": "Thu Jan 01 2026"}
    defined = [f"--define={name} {value}" for name, value in about.items()]
    return rpmbuild(spec, root.parent / "rpmbuild", f"--target={packages.rpm.suffixes[-2][1:]}-linux", *defined)
