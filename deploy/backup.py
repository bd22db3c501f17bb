"""`make backup` and `make restore`: what is the owner's, in one archive.

In it are the configuration with its keys, the prompts of the owner's own, the ledger and what was learnt;
with SESSIONS=1 the sessions too. Models and logs are not, and no ledger on a PostgreSQL server.
"""

import argparse
import fnmatch
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from filecmp import cmp
from pathlib import Path, PurePosixPath
from typing import IO

import sqlalchemy as sa

from accounting.ledger import located
from deploy import health, managers
from deploy.commands import DeployError
from deploy.managers import ServiceManager
from deploy.place import Place, here
from deploy.service import awaited_health, in_the_way, is_ours
from errors import ConfigError
from settings.paths import CARRIED_OVER, DOTENV, OWN_PROMPTS, OWNER_FILE
from terminal.command import run_and_exit, say

KEPT = 10  # archives; older ones go
FOLDER = "backups"
LEDGER = "ledger.db"  # its name in an archive, whatever it is called and wherever it lies
SESSIONS = "sessions"
# What may be the owner's in the data folder. Everything new that is written and worth keeping belongs here.
OWNED = (OWNER_FILE, DOTENV, OWN_PROMPTS, "prompts", "learning", "feedback*", CARRIED_OVER)
TEXTS = (".md", ".txt", ".yaml", ".yml")  # what else may be, where the configuration names it: never code
CONFIG = "config"  # above the owner's file and what lies beside it, where that is not the data folder
START_S = 60.0


@dataclass(frozen=True)
class Belongings:
    """What is the owner's. files: by their names in an archive. notes: what is not among them, and why."""

    files: Mapping[str, Path]
    ledger: Path | None
    notes: tuple[str, ...] = ()


def belongings(place: Place, sessions: bool = False) -> Belongings:
    """Everything that a backup holds and that exists. sessions: with the sessions."""
    notes: list[str] = []
    files: dict[str, Path] = {}
    for prefix, folder in _folders(place).items():
        for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
            if _is_owned(entry.name, sessions) and not _is_shipped(place, entry):
                files |= {_below(prefix, folder, file): file for file in _files(entry)}
        for file in _named(place, folder):
            name = _below(prefix, folder, file)
            if _is_backed_up(name):
                files[name] = file
            else:
                notes.append(f"{file} is not in it: its name has to end in one of {', '.join(TEXTS)}")
    ledger = _ledger(place, notes)
    files.pop(LEDGER, None)
    return Belongings(files, ledger if ledger and ledger.exists() else None, tuple(notes))


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
        for name, file in files.items():
            what = "as it is" if name not in replaced else "replaced" if replaced[name].exists() else "new"
            say(f"  {name:<28} {_size(file):>9}  {what}")
        if not replaced:
            say("Nothing to restore: everything is as in the archive")
            return
        with _stopped(place, manager):
            before = back_up(place, sessions=any(name.startswith(f"{SESSIONS}/") for name in replaced))
            put_back({target: files[name] for name, target in replaced.items() if name != LEDGER})
            if LEDGER in replaced:  # where the configuration that was put back has it
                put_back({_target(place, LEDGER): files[LEDGER]})
    say("Restored" + (f"; to undo it: make restore FILE={before}" if before else ""))


def changed(place: Place, files: Mapping[str, Path]) -> dict[str, Path]:
    """Which of an archive's files differ from what is there: {name: where it belongs}."""
    targets = {name: _target(place, name) for name in files}
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
            with tarfile.open(archive, "r:gz") as tar:
                members = [member for member in tar.getmembers() if not member.isdir()]
                for member in members:
                    _refuse_strangers(archive, member)
                files = {member.name: Path(folder, member.name) for member in members}
                for member in members:
                    _unpack(tar, member, files[member.name])
        except FileNotFoundError:
            raise DeployError(f"there is no {archive}")
        except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
            raise DeployError(f"{archive} cannot be read: {error}") from error
        yield files


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
    if not (member.isfile() and leads_below and _is_backed_up(member.name)):
        raise DeployError(f"{archive} is no backup of Headstart, it has '{member.name}' in it")


# What belongs where.


def _folders(place: Place) -> dict[str, Path]:
    """The folders with something of the owner's, by their prefix in an archive."""
    beside = place.owners_file.parent
    return {"": place.data} | ({f"{CONFIG}/": beside} if beside != place.data else {})


def _below(prefix: str, folder: Path, file: Path) -> str:
    return prefix + file.relative_to(folder).as_posix()


def _target(place: Place, name: str) -> Path:
    """Where a file of an archive belongs."""
    if name == LEDGER:
        return _ledger(place, []) or place.data / LEDGER
    folders = _folders(place)
    if name.startswith(f"{CONFIG}/"):
        return folders.get(f"{CONFIG}/", place.data) / name.removeprefix(f"{CONFIG}/")
    return place.data / name


def _is_owned(name: str, sessions: bool) -> bool:
    """Whether an entry of a data folder is the owner's by its name."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in OWNED) or (sessions and name == SESSIONS)


def _is_backed_up(name: str) -> bool:
    """Whether a name in an archive may have come from a backup."""
    parts = PurePosixPath(name.removeprefix(f"{CONFIG}/")).parts
    if name == LEDGER or (parts and _is_owned(parts[0], sessions=True)):
        return True
    return name.endswith(TEXTS) and not any(part.startswith(".") for part in parts)


def _is_shipped(place: Place, entry: Path) -> bool:
    return entry == place.checkout / "prompts"


def _files(entry: Path) -> Iterator[Path]:
    """The file itself, or those below a folder."""
    if entry.is_file():
        yield entry
    elif entry.is_dir():
        yield from (file for file in sorted(entry.rglob("*")) if file.is_file() and file.name != ".gitkeep")


def _named(place: Place, folder: Path) -> Iterator[Path]:
    """The owner's configuration and the prompts it names, those which lie in a folder and are not ours."""
    candidates = [place.owners_file]
    with suppress(ConfigError):
        config = place.config()
        names = (config.classifier.prompt, *(route.system_prompt for route in config.routes.values()))
        candidates += [config.resolve(name) for name in names if name]
    for file in candidates:
        if (
            file.is_file()
            and file.is_relative_to(folder)
            and not file.is_relative_to(place.checkout / "prompts")
        ):
            yield file


def _ledger(place: Place, notes: list[str]) -> Path | None:
    """The SQLite file of the ledger; None, and a note, where it is something else."""
    try:
        config = place.config()
    except ConfigError as error:
        notes.append(f"the configuration is faulty, the ledger is taken to be {LEDGER}: {error}")
        return place.data / LEDGER
    url = sa.make_url(located(config.ledger.url, config.written))
    if url.drivername.startswith("sqlite") and url.database and not url.database.startswith("file:"):
        return Path(url.database)
    notes.append(f"the ledger is not in it: it is a {url.get_backend_name()} database of its own")
    return None


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
        manager.start()
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
