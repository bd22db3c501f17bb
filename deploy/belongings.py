"""What is the owner's on a machine, and where each thing belongs: what a backup holds.

The configuration with its keys, the prompts of the owner's own, the ledger, what was learnt, and sessions on
demand. Models and logs are not, and no ledger on a PostgreSQL server.
"""

import fnmatch
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import sqlalchemy as sa

from accounting.ledger import located
from deploy.place import Place
from errors import ConfigError
from settings.paths import CARRIED_OVER, DOTENV, OWN_PROMPTS, OWNER_FILE

LEDGER = "ledger.db"  # its name in an archive, whatever it is called and wherever it lies
SESSIONS = "sessions"
# What may be the owner's in the data folder. Everything new that is written and worth keeping belongs here.
OWNED = (OWNER_FILE, DOTENV, OWN_PROMPTS, "prompts", "learning", "feedback*", CARRIED_OVER)
TEXTS = (".md", ".txt", ".yaml", ".yml")  # what else may be, where the configuration names it: never code
CONFIG = "config"  # above the owner's file and what lies beside it, where that is not the data folder


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
            if is_backed_up(name):
                files[name] = file
            else:
                notes.append(f"{file} is not in it: its name has to end in one of {', '.join(TEXTS)}")
    ledger = _ledger(place, notes)
    files.pop(LEDGER, None)
    return Belongings(files, ledger if ledger and ledger.exists() else None, tuple(notes))


def target_of(place: Place, name: str) -> Path:
    """Where a file of an archive belongs."""
    if name == LEDGER:
        return _ledger(place, []) or place.data / LEDGER
    folders = _folders(place)
    if name.startswith(f"{CONFIG}/"):
        return folders.get(f"{CONFIG}/", place.data) / name.removeprefix(f"{CONFIG}/")
    return place.data / name


def is_backed_up(name: str) -> bool:
    """Whether a name in an archive may have come from a backup."""
    parts = PurePosixPath(name.removeprefix(f"{CONFIG}/")).parts
    if name == LEDGER or (parts and _is_owned(parts[0], sessions=True)):
        return True
    return name.endswith(TEXTS) and not any(part.startswith(".") for part in parts)


def _folders(place: Place) -> dict[str, Path]:
    """The folders with something of the owner's, by their prefix in an archive."""
    beside = place.owners_file.parent
    return {"": place.data} | ({f"{CONFIG}/": beside} if beside != place.data else {})


def _below(prefix: str, folder: Path, file: Path) -> str:
    return prefix + file.relative_to(folder).as_posix()


def _is_owned(name: str, sessions: bool) -> bool:
    """Whether an entry of a data folder is the owner's by its name."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in OWNED) or (sessions and name == SESSIONS)


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
        candidates += place.config().prompts
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
