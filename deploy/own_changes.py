"""What the owner has changed in a shipped file: the part that is worth keeping, from the text of both.

Texts in, text out; no file is read and git is not asked.
"""

from collections.abc import Callable
from typing import Any

import yaml

Loaded = dict[str, Any]  # a YAML mapping

# Keys of a route that stand for something by being left out.
_MISSED = ("system_prompt", "context")


def changed_settings(text: str, bases: list[str]) -> str:
    """What differs in an edited config.yaml. bases: the shipped versions that it may have been made from."""
    return _least(text, bases, _difference, "config.yaml")


def changed_markers(text: str, bases: list[str]) -> str:
    """The markers that are not as shipped, by their names, and the names of those left out."""
    return _least(text, bases, _other_markers, "prompts/meta_markers.yaml")


def _least(text: str, bases: list[str], difference: Callable[[Loaded, Loaded], Loaded], file: str) -> str:
    """What differs from the shipped version that is most like it."""
    own = _loaded(text)
    if own is None or not bases:
        return text  # a mistake in it is told when it is read
    differences = [difference(base, own) for base in map(_loaded, bases) if base is not None]
    least = min(differences, key=lambda found: len(str(found)), default=own)
    head = f"# What differs from the shipped {file}, taken from your edited copy of it.\n"
    return head + yaml.safe_dump(least, sort_keys=False, allow_unicode=True, width=100)


def _other_markers(base: Loaded, own: Loaded) -> Loaded:
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


def _difference(base: Loaded, own: Loaded, path: tuple[str, ...] = ()) -> Loaded:
    """What has to be laid over `base` to get `own`. A provider that has lost a key is taken whole.

    path: the keys that lead to both.
    """
    found: Loaded = {}
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


def _loaded(text: str) -> Loaded | None:
    """The mapping that a text is as YAML, None for anything else."""
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return loaded if isinstance(loaded, dict) else None


def _are_named(section: Any) -> bool:
    return isinstance(section, list) and any(isinstance(one, dict) for one in section)


def _names(section: Any) -> list[Any]:
    return [one.get("name") for one in section or [] if isinstance(one, dict)]
