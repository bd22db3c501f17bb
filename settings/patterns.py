"""Regular expressions of the owner's, as RE2: linear in the text, so that none can run away."""

from typing import Protocol

import re2


class Pattern(Protocol):
    """What is needed of a compiled pattern."""

    def search(self, text: str) -> object | None: ...


def pattern_of(regex: str) -> Pattern:
    """A compiled RE2 pattern. Raises ValueError, in RE2's words, for what is none."""
    options = re2.Options()
    options.log_errors = False
    try:
        compiled: Pattern = re2.compile(regex, options)
    except re2.error as error:
        problem = error.args[0] if error.args else None
        words = problem.decode(errors="replace") if isinstance(problem, bytes) else str(error)
        raise ValueError(words) from error
    return compiled
