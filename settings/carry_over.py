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

from settings.paths import CARRIED_OVER, CHECKOUT, CONFIG_VARIABLE, OWN_PROMPTS, OWNER_FILE, owner_paths

CONFIG, PROMPTS, MARKERS = "config.yaml", "prompts", "prompts/meta_markers.yaml"
GIT_S = 20.0  # how long a git command may take
_CONFLICTS = ("UU", "AA", "DU", "UD")
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
    edited = dict(_edited(checkout))
    if CONFIG in edited and (data / OWNER_FILE).exists():
        del edited[CONFIG]
        if not edited:
            return f"{CONFIG} is edited, which stops the next update: move the change into {OWNER_FILE}"
    if not edited:
        return None
    moved = [_moved(checkout, data, name, state) for name, state in edited.items()]
    return (
        f"Carried over: your edits of {', '.join(edited)} stand in {', '.join(dict.fromkeys(moved))} now; "
        f"the files as they were are in {CARRIED_OVER}/"
    )


def _edited(checkout: Path) -> Iterator[tuple[str, str]]:
    """(file, git's two letters for its state) of the shipped files that differ from the ones committed."""
    status = _git(checkout, "status", "--porcelain", "--untracked-files=no", "--", CONFIG, PROMPTS)
    for line in (status or "").splitlines():
        state, name = line[:2], line[3:].strip('"')
        if (checkout / name).is_file() and (name == CONFIG or name.startswith(f"{PROMPTS}/")):
            yield name, state


def _moved(checkout: Path, data: Path, name: str, state: str) -> str:
    """Move the edits of one file; the name of where they are now."""
    text, bases = _versions(checkout, name, state)
    kept = data / CARRIED_OVER / name
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(checkout / name, kept)
    if name == CONFIG:
        target, own = data / OWNER_FILE, _settings_that_differ(text, bases)
    else:
        target = data / OWN_PROMPTS / Path(name).name
        own = _markers_that_differ(text, bases) if name == MARKERS else text
    if not target.exists():  # what the owner has there already is newer
        _write(target, own)
    _git(checkout, "checkout", "HEAD", "--", name)
    return OWNER_FILE if name == CONFIG else f"{OWN_PROMPTS}/"


def _versions(checkout: Path, name: str, state: str) -> tuple[str, list[str]]:
    """(the owner's text, the shipped ones that it may have been made from, the newest first)."""
    if state in _CONFLICTS:
        base, own = (_git(checkout, "show", f":{stage}:{name}") for stage in (1, 3))
        if own is not None:
            return own, [base or ""]
    commits = (_git(checkout, "log", "--format=%H", "-50", "--", name) or "").split()
    shipped = [_git(checkout, "show", f"{commit}:{name}") for commit in commits]
    return (checkout / name).read_text(encoding="utf-8"), [text for text in shipped if text is not None]


def _settings_that_differ(text: str, bases: list[str]) -> str:
    """The owner's file: what differs from the shipped version that is most like it."""
    own = _loaded(text)
    if own is None or not bases:
        return text  # a mistake in it is told when it is read
    differences = [_difference(base, own) for base in map(_loaded, bases) if base is not None]
    least = min(differences, key=lambda difference: len(str(difference)), default=own)
    return _HEAD.format(file=CONFIG) + yaml.safe_dump(least, sort_keys=False, allow_unicode=True, width=100)


def _markers_that_differ(text: str, bases: list[str]) -> str:
    """The owner's markers: those that are not as shipped, by their names."""
    own = _loaded(text)
    base = next((loaded for loaded in map(_loaded, bases) if loaded is not None), None)
    if own is None or base is None:
        return text
    differing = {}
    for section, value in own.items():
        known = base.get(section)
        if (
            isinstance(value, list)
            and isinstance(known, list)
            and any(isinstance(one, dict) for one in value)
        ):
            value = [one for one in value if one not in known]
        if value != known and value != []:
            differing[section] = value
    return _HEAD.format(file=MARKERS) + yaml.safe_dump(differing, sort_keys=False, allow_unicode=True)


def _difference(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """What has to be laid over `base` to get `own`. A provider that has lost a key is taken whole."""
    found = {}
    for name, value in own.items():
        known = base.get(name)
        if isinstance(value, dict) and isinstance(known, dict):
            lost_a_key = "kind" in value and not known.keys() <= value.keys()
            inner = value if lost_a_key else _difference(known, value)
            if inner:
                found[name] = inner
        elif name not in base or value != known:
            found[name] = value
    return found


def _loaded(text: str) -> dict[str, Any] | None:
    """The mapping that a text is as YAML, None for anything else."""
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return loaded if isinstance(loaded, dict) else None


def _write(target: Path, text: str) -> None:
    """Whole or not at all, and readable by its owner alone, since settings may hold keys."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    draft.replace(target)


def _git(checkout: Path, *arguments: str) -> str | None:
    """What a git command prints, None where it fails or there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=GIT_S
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None
