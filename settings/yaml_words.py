"""What is wrong with a file that is no YAML, in words that somebody who rarely writes YAML understands."""

import yaml

_WORDS = (
    ("'\\t' that cannot start any token", "a tab stands here; YAML wants blanks"),
    ("could not find expected ':'", "there is no ':' after the key in this line"),
    ("found unexpected end of stream", "a quote is opened and never closed"),
    ("expected ',' or ']'", "a ',' is missing here, or the ']' that closes the list"),
    ("expected ',' or '}'", "a ',' is missing here, or the '}' that closes the braces"),
    ("but found '<stream end>'", "the file ends while a bracket or a brace is still open"),
    ("found another document", "'---' begins another document here; a configuration is one"),
)


def in_words(error: yaml.MarkedYAMLError, lines: list[str]) -> str:
    """The problem of a YAML error. lines: of the whole file. Other problems stay in YAML's own words."""
    problem = error.problem or str(error)
    index = error.problem_mark.line if error.problem_mark else 0
    if problem.startswith("mapping values are not allowed"):
        return _of_a_second_colon(lines, index)
    if problem.startswith("expected <block end>") and error.context_mark:
        beside = error.context_mark.column
        return f"this line is indented by {_blanks(_indent(lines, index))}; those beside it by {beside}"
    return next((words for part, words in _WORDS if part in problem), problem)


def _of_a_second_colon(lines: list[str], index: int) -> str:
    """A value is followed by a ':': in its own line, or in one below that is indented deeper."""
    above = next((i for i in range(index - 1, -1, -1) if lines[i].strip()), None)
    if above is not None and _indent(lines, index) > _indent(lines, above):
        here, there = _blanks(_indent(lines, index)), _indent(lines, above)
        return f"this line is indented by {here}, deeper than the one above it ({there}), which has a value"
    return "there is a second ':' in this line; put the value in quotes"


def _indent(lines: list[str], index: int) -> int:
    line = lines[index] if index < len(lines) else ""
    return len(line) - len(line.lstrip(" "))


def _blanks(count: int) -> str:
    return "1 blank" if count == 1 else f"{count} blanks"
