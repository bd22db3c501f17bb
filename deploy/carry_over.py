"""Moves an owner's edits of shipped files to the owner's own, so that an update meets no conflict.

config.yaml, the prompts and the markers are shipped and not edited. Where git says that they are, the start
takes what differs into headstart.yaml and my-prompts/, keeps the files as they were in carried-over/, and
restores ours. An update that has met a conflict is carried over too: git still has all three versions.

Without git nothing is known to be edited, and nothing happens: an edited file goes on as it is.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from runtime.files import write_whole
from settings.paths import CARRIED_OVER, CHECKOUT, CONFIG_VARIABLE, OWN_PROMPTS, OWNER_FILE, owner_paths

CONFIG, PROMPTS, MARKERS = "config.yaml", "prompts", "prompts/meta_markers.yaml"
GIT_S = 20.0  # how long a git command may take
OURS = (CONFIG, PROMPTS)
# Keys of a route that stand for something by being left out.
_MISSED = ("system_prompt", "context")
_HEAD = "# What differs from the shipped {file}, taken from your edited copy of it.\n"


def carry_over(checkout: Path = CHECKOUT, environ: Mapping[str, str] | None = None) -> str | None:
    """Move the owner's edits and return the line that says so, None where there were none.

    An owner who names a configuration by HEADSTART_CONFIG has nothing to be moved. Raises OSError where the
    data folder cannot be written; then nothing is lost.
    """
    environ = os.environ if environ is None else environ
    if environ.get(CONFIG_VARIABLE) or not (checkout / ".git").exists():
        return None
    data = owner_paths(environ, checkout=checkout).data
    shipped = _Shipped(checkout)
    edited = list(shipped.edited())
    said = []
    if CONFIG in edited and (data / OWNER_FILE).exists() and not shipped.is_in_conflict(CONFIG):
        edited.remove(CONFIG)
        said.append(f"{CONFIG} is edited, which stops the next update: move the change into {OWNER_FILE}")
    moved = {name: _moved(shipped, data, name) for name in edited}
    if moved:
        said.insert(0, _in_words(moved))
        said += [f"`{rest}` completes the update" for rest in shipped.left_to_do()]
    return "; ".join(said) or None


def _in_words(moved: Mapping[str, str]) -> str:
    """moved: file -> where its edits stand now."""
    places = ", ".join(dict.fromkeys(moved.values()))
    return (
        f"Carried over: your edits of {', '.join(moved)} stand in {places} now; "
        f"the files as they were are in {CARRIED_OVER}/"
    )


class _Shipped:
    """The files of a checkout as they are shipped and as the owner has them, as git knows it.

    In the middle of a merge the shipped ones are those that come in, and the owner's side of a conflict is
    "ours"; wherever git applies edits to new files (stash, rebase, checkout -m) it is "theirs".
    """

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self._merges = self._git("rev-parse", "-q", "--verify", "MERGE_HEAD") is not None
        self._commit = "MERGE_HEAD" if self._merges else "HEAD"
        unmerged = (self._git("diff", "--name-only", "-z", "--diff-filter=U", "--", *OURS) or "").split("\0")
        self._conflicts = set(filter(None, unmerged))

    def edited(self) -> Iterator[str]:
        """The shipped files that differ from what is shipped, and can be read."""
        listed = (self._git("diff", "--name-only", "-z", self._commit, "--", *OURS) or "").split("\0")
        for name in sorted({*filter(None, listed), *self._conflicts}):
            if self._git("cat-file", "-e", f"{self._commit}:{name}") is not None and self._is_text(name):
                yield name

    def is_in_conflict(self, name: str) -> bool:
        return name in self._conflicts

    def versions(self, name: str) -> tuple[str, list[str]]:
        """(the owner's text, the shipped ones that it may have been made from, the newest first)."""
        if name in self._conflicts:
            base, own = (self._git("show", f":{stage}:{name}") for stage in (1, 2 if self._merges else 3))
            if own is not None:
                return own, [base or ""]
        commits = (self._git("log", "--format=%H", "-50", self._commit, "--", name) or "").split()
        shipped = [self._git("show", f"{commit}:{name}") for commit in commits]
        return self.path(name).read_text(encoding="utf-8"), [text for text in shipped if text is not None]

    def restore(self, name: str) -> None:
        self._git("checkout", self._commit, "--", name)

    def path(self, name: str) -> Path:
        return self._checkout / name

    def left_to_do(self) -> Iterator[str]:
        """The command that ends what git is in the middle of."""
        if self._merges:
            yield "git commit --no-edit"
        elif self._git("rev-parse", "-q", "--verify", "REBASE_HEAD") is not None:
            yield "git rebase --continue"

    def _is_text(self, name: str) -> bool:
        """Whether it is UTF-8. What is not stays, and whoever reads it says so."""
        try:
            self.path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return False
        return True

    def _git(self, *arguments: str) -> str | None:
        """What a git command prints, None where it fails or there is no git."""
        try:
            done = subprocess.run(
                ["git", "-C", str(self._checkout), *arguments], capture_output=True, text=True, timeout=GIT_S
            )
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
            return None
        return done.stdout if done.returncode == 0 else None


def _moved(shipped: _Shipped, data: Path, name: str) -> str:
    """Move the edits of one file; the name of where they are now.

    What the owner has there already is newer and stays; then they are beside the file as it was.
    """
    text, bases = shipped.versions(name)
    kept = data / CARRIED_OVER / name
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shipped.path(name), kept)
    if name == CONFIG:
        place, own = OWNER_FILE, _settings_that_differ(text, bases)
    else:
        place = f"{OWN_PROMPTS}/{Path(name).name}"
        own = _markers_that_differ(text, bases) if name == MARKERS else text
    is_taken = (data / place).exists()
    if is_taken:
        place = f"{CARRIED_OVER}/{place}"
    write_whole(data / place, own.encode())
    shipped.restore(name)
    return place if is_taken or name == CONFIG else f"{OWN_PROMPTS}/"


def _settings_that_differ(text: str, bases: list[str]) -> str:
    """The owner's file: what differs from the shipped version that is most like it."""
    own = _loaded(text)
    if own is None or not bases:
        return text  # a mistake in it is told when it is read
    differences = [_difference(base, own) for base in map(_loaded, bases) if base is not None]
    least = min(differences, key=lambda difference: len(str(difference)), default=own)
    return _HEAD.format(file=CONFIG) + yaml.safe_dump(least, sort_keys=False, allow_unicode=True, width=100)


def _markers_that_differ(text: str, bases: list[str]) -> str:
    """The owner's markers: those that are not as shipped, by their names, and the names of those left out."""
    own = _loaded(text)
    if own is None or not bases:
        return text
    differences = [_other_markers(base, own) for base in map(_loaded, bases) if base is not None]
    least = min(differences, key=lambda difference: len(str(difference)), default=own)
    return _HEAD.format(file=MARKERS) + yaml.safe_dump(least, sort_keys=False, allow_unicode=True)


def _other_markers(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    found, without = {}, []
    for section, known in base.items():
        value = own.get(section, [])
        if _are_named(known):
            names = _names(value)
            without += [name for name in _names(known) if name not in names]
            value = [one for one in value if one not in known]
        if value not in (known, []):
            found[section] = value
    found.update((section, value) for section, value in own.items() if section not in base)
    return {**found, "without": without} if without else found


def _are_named(section: Any) -> bool:
    return isinstance(section, list) and any(isinstance(one, dict) for one in section)


def _names(section: Any) -> list[Any]:
    return [one.get("name") for one in section or [] if isinstance(one, dict)]


def _difference(base: dict[str, Any], own: dict[str, Any], path: tuple[str, ...] = ()) -> dict[str, Any]:
    """What has to be laid over `base` to get `own`. A provider that has lost a key is taken whole.

    path: the keys that lead to both.
    """
    found: dict[str, Any] = {}
    for name, value in own.items():
        known = base.get(name)
        if isinstance(value, dict) and isinstance(known, dict):
            lost_a_key = "kind" in value and not known.keys() <= value.keys()
            inner = value if lost_a_key else _difference(known, value, (*path, name))
            if inner:
                found[name] = inner
        elif name not in base or value != known:
            found[name] = value
    if len(path) == 2 and path[0] == "routes":
        found.update((name, None) for name in _MISSED if name in base and name not in own)
    return found


def _loaded(text: str) -> dict[str, Any] | None:
    """The mapping that a text is as YAML, None for anything else."""
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return loaded if isinstance(loaded, dict) else None
