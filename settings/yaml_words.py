"""What is wrong with a file that is no YAML, in words that somebody who rarely writes YAML understands."""

import re

import yaml

_WORDS = (
    ("'\\t' that cannot start any token", "a tab stands here; YAML wants blanks"),
    ("'<stream end>'", "the file ends while a bracket or a brace is still open"),
    ("found another document", "'---' begins another document here; a configuration is one"),
    ("expected alphabetic or numeric", "a value that begins with '*' or '&' has to be in quotes"),
    ("expected the node content, but found", "a bracket or a brace closes here that was never opened"),
    ("'<document start>'", "this line is indented less than the first one"),
    ("found undefined alias", "a value that begins with '*' has to be in quotes"),
    ("escape", "a backslash means something else in double quotes; put the value in single ones"),
)
_NO_BEGINNING = re.compile(r"found character '(.)' that cannot start any token")
_GLUED = re.compile(r"[\w-]+:[^\s,}]")
NO_BREAK_SPACE = "\u00a0"


def in_words(error: yaml.MarkedYAMLError, lines: list[str]) -> tuple[int, str]:
    """(the index of the line to mend, what is wrong there). lines: of the whole file.

    YAML often stumbles only below the mistake. What is not known here stays in YAML's own words.
    """
    problem = error.problem or str(error)
    index = error.problem_mark.line if error.problem_mark else 0
    begun = error.context_mark.line if error.context_mark else index
    if problem.startswith("mapping values are not allowed"):
        return _of_a_second_colon(lines, index)
    if problem.startswith("expected <block end>") and error.context_mark:
        return _of_a_block(problem, lines, index, error.context_mark)
    if problem.startswith("could not find expected ':'"):
        return begun, of_a_missing_blank(lines[begun]) or "there is no ':' after the key"
    if problem.startswith("found unexpected end of stream"):
        return begun, "a quote is opened and never closed"
    for closing, what in (("]", "list"), ("}", "braces")):
        if problem.startswith(f"expected ',' or '{closing}'") and "stream end" not in problem:
            until = "" if begun == index else f" before line {index + 1}"
            return begun, f"a ',' is missing here, or the '{closing}' that closes the {what}{until}"
    if (found := _NO_BEGINNING.search(problem)) and found[1] != "\\":
        return index, f"a value cannot begin with {found[1]}; put it in quotes"
    return index, next((words for part, words in _WORDS if part in problem), problem)


def of_a_missing_blank(text: str) -> str:
    """What is wrong with a text that was meant to be more than one: `key:value`, `-item`, `NAME=value`.

    "" where it is nothing of the kind. Nothing is in quotes, since what is may be hidden.
    """
    text = text.strip()
    if glued := _GLUED.match(text):
        return f"a blank is missing after {glued[0].partition(':')[0]}:"
    if re.match(r"-[^\s-]", text):
        return "a blank is missing after the dash"
    if re.match(r"(export )?[A-Z_]+ *=", text):
        return "NAME=value is a line for .env"
    return ""


def _of_a_second_colon(lines: list[str], index: int) -> tuple[int, str]:
    """A value is followed by a ':': in its own line, or in one below that is taken for its continuation."""
    above = next((i for i in range(index - 1, -1, -1) if lines[i].strip()), None)
    if len(re.findall(r":(?=\s|$)", lines[index])) > 1 or above is None:
        return index, "there is a second ':' in this line; put the value in quotes"
    text = lines[above].strip()
    if not re.search(r":(\s|$)", text) and not text.startswith("- "):
        return above, of_a_missing_blank(text) or "there is no ':' after the key"
    here, there = _blanks(_indent(lines, index)), _indent(lines, above)
    return (
        index,
        f"this line is indented by {here}, deeper than the one above it ({there}), which has a value",
    )


def _of_a_block(problem: str, lines: list[str], index: int, block: yaml.Mark) -> tuple[int, str]:
    """Something stands beside a block that does not belong there."""
    found = problem.rpartition(" ")[2]
    if found == "'<scalar>'":
        for above in range(index - 1, block.line - 1, -1):
            if any(lines[above].count(quote) % 2 for quote in "\"'"):
                return above, "a quote is opened and not closed in this line"
        return index, "something stands behind the quote that closes the value"
    if _indent(lines, index) == block.column:
        known = {"'-'": "an item of a list stands among keys; indent it below its key"}
        known |= {"'?'": "a key stands among the items of a list; indent it below its item"}
        return index, known.get(found, f"{found} is one too many here, or misplaced")
    here, there = _blanks(_indent(lines, index)), block.column
    return index, f"this line is indented by {here}; those beside it by {there}"


def _indent(lines: list[str], index: int) -> int:
    line = lines[index] if index < len(lines) else ""
    return len(line) - len(line.lstrip(" "))


def _blanks(count: int) -> str:
    return "1 blank" if count == 1 else f"{count} blanks"
