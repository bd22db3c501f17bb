"""A small grammar for writing many different requests with few words.

A line is a sentence with choices: `{Who is|Who's} the mayor of {city}?` takes one of the alternatives.
`{city}` takes one entry of the list of that name, and so does an alternative that is such a name. Lines are
expanded with a seeded generator, so the same rows come out every time; a changed line also changes what the
lines behind it draw.

The texts stand in data/grammar/: `seed`, `lists` of entries separated by semicolons, and blocks with a
request per line, in which `\\n` stands for a line break.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

GRAMMAR_DIR = Path(__file__).resolve().parent / "data" / "grammar"

Lists = dict[str, list[str]]

_CHOICE = re.compile(r"\{([^{}]*)\}")


def read(name: str) -> dict[str, Any]:
    """The texts of data/grammar/<name>.yaml; its `lists` as Lists, empty where the file has none."""
    texts: dict[str, Any] = yaml.safe_load((GRAMMAR_DIR / f"{name}.yaml").read_text(encoding="utf-8"))
    named = texts.get("lists", {})
    return {**texts, "lists": {name: lines(entries.replace(";", "\n")) for name, entries in named.items()}}


def lines(block: str) -> list[str]:
    """The lines of a text block that hold something; `\\n` in a line stands for a line break."""
    return [line.strip().replace("\\n", "\n") for line in block.strip().splitlines() if line.strip()]


def expand(line: str, lists: Lists, rng: random.Random) -> str:
    """One sentence out of a line. Raises ValueError for a name that no list has."""
    while found := _CHOICE.search(line):
        choice = found[1]
        chosen = rng.choice(choice.split("|"))
        if chosen in lists:
            chosen = rng.choice(lists[chosen])
        elif "|" not in choice:
            raise ValueError(f"no list named {choice!r} in {line!r}")
        line = line[: found.start()] + chosen + line[found.end() :]
    return re.sub(r" {2,}", " ", line).strip()


def sentences(block: str, lists: Lists, rng: random.Random, times: int = 1) -> Iterator[str]:
    """Up to `times` different sentences out of each line of a block."""
    for line in lines(block):
        yield from dict.fromkeys(expand(line, lists, rng) for _ in range(times if "{" in line else 1))
