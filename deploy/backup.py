"""`make backup` and `make restore`: what is the owner's (`belongings.py`), in one archive."""

import argparse
import gzip
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from filecmp import cmp
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote

from deploy import health, managers
from deploy.belongings import LEDGER, SESSIONS, belongings, is_backed_up, target_of
from deploy.commands import DeployError
from deploy.managers import ServiceManager
from deploy.place import Place, here
from deploy.service import awaited_health, in_the_way, is_ours, started
from terminal.command import run_and_exit, say

KEPT = 10  # archives; older ones go
FOLDER = "backups"
START_S = 60.0


def back_up(place: Place, sessions: bool = False) -> Path | None:
    """Write an archive, say what is in it, and let go of the oldest ones. Returns its path.

    None where there is nothing of the owner's yet.
    """
    mine = belongings(place, sessions)
    if not mine.files and not mine.ledger:
        say("Nothing to back up yet: no configuration and no ledger of yours is here")
        return None
    folder = _made_folder(place)
    archive = _unused_name(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        written = Path(partial, archive.name)
        with _private(written) as file, tarfile.open(fileobj=file, mode="w:gz", dereference=True) as tar:
            for name, path in mine.files.items():
                tar.add(path, name)
            if mine.ledger:
                tar.add(_consistent_copy(mine.ledger, Path(partial, LEDGER)), LEDGER)
        written.replace(archive)
    names = sorted(
        {PurePosixPath(name).parts[0] for name in [*mine.files, *([LEDGER] if mine.ledger else [])]}
    )
    say(f"Backed up {', '.join(names)}: {archive}, {_size(archive)}")
    for note in mine.notes:
        say(f"  {note}")
    for old in archives(place)[:-KEPT]:
        old.unlink()
    return archive


def archives(place: Place) -> list[Path]:
    """The archives in the data folder, oldest first."""
    return sorted((place.data / FOLDER).glob("headstart-*.tar.gz"))


def restore(place: Place, archive: Path, manager: ServiceManager) -> None:
    """Put back what an archive holds; what it does not hold stays. A running service is stopped meanwhile."""
    with unpacked(place, archive) as files:
        replaced = changed(place, files)
        say(f"{archive}, {_size(archive)}, holds:")
        for line in _listed(files, replaced):
            say(line)
        if not replaced:
            say("Nothing to restore: everything is as in the archive")
            return
        with _stopped(place, manager):
            before = back_up(place, sessions=any(name.startswith(f"{SESSIONS}/") for name in replaced))
            undo = f"to undo it: make restore FILE={before}" if before else ""
            try:
                put_back({target: files[name] for name, target in replaced.items() if name != LEDGER})
                if LEDGER in replaced:  # where the configuration that was put back has it
                    put_back({target_of(place, LEDGER): files[LEDGER]})
            except OSError as error:
                failed = f"{error.filename}: {error.strerror}"
                raise DeployError("; ".join(filter(None, [f"not all is restored: {failed}", undo])))
            say("; ".join(filter(None, ["Restored", undo])))  # before a start that may fail


def _listed(files: Mapping[str, Path], replaced: Mapping[str, Path]) -> Iterator[str]:
    """A line for each file of an archive, and one for all sessions."""
    sessions = [name for name in files if name.startswith(f"{SESSIONS}/")]
    for name, file in files.items():
        if name not in sessions:
            what = "as it is" if name not in replaced else "replaced" if replaced[name].exists() else "new"
            yield f"  {name:<28} {_size(file):>9}  {what}"
    if sessions:
        count = sum(name in replaced for name in sessions)
        yield f"  {SESSIONS + '/':<28} {len(sessions):>3} files  {count} of them new or replaced"


def changed(place: Place, files: Mapping[str, Path]) -> dict[str, Path]:
    """Which of an archive's files differ from what is there: {name: where it belongs}."""
    targets = {name: target_of(place, name) for name in files}
    return {name: target for name, target in targets.items() if not _same(files[name], target)}


def put_back(files: Mapping[Path, Path]) -> None:
    """Write files of an archive to where they belong. files: {where to: where from}."""
    for target, source in files.items():
        target = target.resolve()  # a link of the owner's stays one
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        shutil.copy(source, partial)
        if source.name == LEDGER:
            for rest in ("-wal", "-shm"):  # they belong to the former database
                target.with_name(target.name + rest).unlink(missing_ok=True)
        partial.replace(target)


@contextmanager
def unpacked(place: Place, archive: Path) -> Iterator[dict[str, Path]]:
    """The files of an archive by their names in it, in a folder of their own for as long as this lasts.

    Raises DeployError, before anything is unpacked, where it is no archive of `back_up`.
    """
    with tempfile.TemporaryDirectory(dir=_made_folder(place), prefix=".partial-") as folder:
        try:
            _refuse_damaged(archive)
            with tarfile.open(archive, "r:gz") as tar:
                members = [member for member in tar.getmembers() if not member.isdir()]
                for member in members:
                    _refuse_strangers(archive, member)
                files = {member.name: Path(folder, member.name) for member in members}
                for member in members:
                    _unpack(tar, member, files[member.name])
            if LEDGER in files:
                _refuse_damaged_ledger(archive, files[LEDGER])
        except FileNotFoundError:
            raise DeployError(f"there is no {archive}")
        except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
            raise DeployError(f"{archive} cannot be read: {error}") from error
        yield files


def _refuse_damaged(archive: Path) -> None:
    """Read it to its end, where gzip has a checksum and tarfile does not look. Raises OSError, zlib.error."""
    with gzip.open(archive) as file:
        while file.read(1 << 20):
            pass


def _refuse_damaged_ledger(archive: Path, ledger: Path) -> None:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(ledger))}?mode=ro", uri=True)) as database:
            [said] = database.execute("pragma quick_check(1)").fetchone()
    except sqlite3.Error as error:
        said = str(error)
    if said != "ok":
        raise DeployError(f"{archive} is damaged, its ledger cannot be read: {said}")


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None  # for anything but a regular file
    with source, _private(file) as target:
        shutil.copyfileobj(source, target)
    file.chmod(member.mode & 0o755 | 0o600)


def _refuse_strangers(archive: Path, member: tarfile.TarInfo) -> None:
    """Only what `back_up` puts into an archive comes out of it: no link, no path that leads elsewhere."""
    path = PurePosixPath(member.name)
    leads_below = not path.is_absolute() and ".." not in path.parts and str(path) == member.name
    if not (member.isfile() and leads_below and is_backed_up(member.name)):
        raise DeployError(f"{archive} is no backup of Headstart, it has '{member.name}' in it")


# Files.


def _made_folder(place: Place) -> Path:
    """The folder of the archives, made if it is not there."""
    folder = place.data / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _unused_name(folder: Path) -> Path:
    """A name that sorts behind those before it."""
    while True:
        now = datetime.now()
        archive = folder / f"headstart-{now:%Y-%m-%d_%H-%M-%S}.{now.microsecond // 1000:03}.tar.gz"
        if not archive.exists():
            return archive
        time.sleep(0.001)


def _private(file: Path) -> IO[bytes]:
    """A new file that only its owner may read, open for writing."""
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _consistent_copy(ledger: Path, copy: Path) -> Path:
    """A copy of the ledger as it is at one moment, also while a server writes."""
    try:
        with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    except sqlite3.Error as error:
        raise DeployError(f"{ledger} cannot be read: {error}") from error
    copy.chmod(0o600)
    return copy


def _same(file: Path, other: Path) -> bool:
    return other.is_file() and cmp(file, other, shallow=False)


def _size(file: Path) -> str:
    size = file.stat().st_size
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.0f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


@contextmanager
def _stopped(place: Place, manager: ServiceManager) -> Iterator[None]:
    """With the service stopped. Raises DeployError where another server runs, which is not ours to stop."""
    if not is_ours(place, manager) or not manager.state().is_on:
        running = place.running()
        if running:
            raise DeployError(f"{in_the_way(running)}: stop it first")
        yield
        return
    say("Stopping the service")
    manager.stop()
    try:
        yield
    finally:
        started(place, manager.start)
        report = awaited_health(place, manager, None, START_S)
        say(f"Started the service again: {health.in_words(report)}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("backup").add_argument("--sessions", action="store_true")
    commands.add_parser("restore").add_argument("file", nargs="?", default="")
    wanted = parser.parse_args()
    manager = managers.of_this_machine()
    place = here(manager.installed())
    if wanted.command == "backup":
        back_up(place, wanted.sessions)
    else:
        restore(place, _chosen(place, wanted.file), manager)
    return 0


def _chosen(place: Place, name: str) -> Path:
    """The archive of a name, which may lack its folder; the newest one for no name."""
    if name:
        file = Path(name).expanduser()
        return file if file.exists() or file.parent != Path() else place.data / FOLDER / name
    if not archives(place):
        raise DeployError(f"there is no backup in {place.data / FOLDER} (make backup)")
    return archives(place)[-1]


if __name__ == "__main__":
    run_and_exit(main)
