"""Writes small files whole or not at all, so that nobody ever reads half of one."""

import os
from pathlib import Path

PRIVATE = 0o600  # readable by its owner alone


def write_whole(file: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write a file in place of the one there, in a folder that is made if need be. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as out:
        out.write(content)
    draft.replace(file)
