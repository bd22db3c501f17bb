"""Moves an owner's edits of shipped files to the owner's own, so that an update meets no conflict.

config.yaml, the prompts and the markers are shipped and not edited. Where git says that they are, the start
takes what differs into headstart.yaml and my-prompts/, keeps the files as they were in carried-over/, and
restores ours. An update that has met a conflict is carried over too: git still has all three versions.

Without git nothing is known to be edited, and nothing happens: an edited file goes on as it is.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.own_changes import changed_markers, changed_settings
from deploy.shipped_files import CONFIG, MARKERS, ShippedFiles
from runtime.files import write_whole
from settings.paths import CARRIED_OVER, CHECKOUT, CONFIG_VARIABLE, OWN_PROMPTS, OWNER_FILE, owner_paths


def carry_over(checkout: Path = CHECKOUT, environ: Mapping[str, str] | None = None) -> str | None:
    """Move the owner's edits and return the line that says so, None where there were none.

    An owner who names a configuration by HEADSTART_CONFIG has nothing to be moved. Raises OSError where the
    data folder cannot be written; then nothing is lost.
    """
    environ = os.environ if environ is None else environ
    if environ.get(CONFIG_VARIABLE) or not (checkout / ".git").exists():
        return None
    data = owner_paths(environ, checkout=checkout).data
    shipped = ShippedFiles(checkout)
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


def _moved(shipped: ShippedFiles, data: Path, name: str) -> str:
    """Move the edits of one file; the name of where they are now.

    What the owner has there already is newer and stays; then they are beside the file as it was.
    """
    text, bases = shipped.versions(name)
    kept = data / CARRIED_OVER / name
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shipped.path(name), kept)
    if name == CONFIG:
        place, own = OWNER_FILE, changed_settings(text, bases)
    else:
        place = f"{OWN_PROMPTS}/{Path(name).name}"
        own = changed_markers(text, bases) if name == MARKERS else text
    is_taken = (data / place).exists()
    if is_taken:
        place = f"{CARRIED_OVER}/{place}"
    write_whole(data / place, own.encode())
    shipped.restore(name)
    return place if is_taken or name == CONFIG else f"{OWN_PROMPTS}/"
