"""A value in app.log: readable, in one line, and read again as it was."""

import logging

import pytest

from telemetry import logs
from telemetry.log_values import as_value, pairs_in

HARMFUL = {
    "a line end": "two\nREQUEST session=00000000 status=200",
    "a carriage return": "a\rb",
    "line ends of other scripts": "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg",
    "a turned direction": "a\u202eb\u2066c",
    "a zero byte": "a\0b",
    "an escape sequence": "\x1b[31mred",
    "half a character": "\ud800",
    "quotes": 'a "quoted" word',
    "a backslash before a quote": '\\" status=200 x="',
    "a backslash at the end": "a \\",
}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "-"),
        ("", "-"),
        (7, "7"),
        (True, "True"),
        (0.25, "0.25"),
        ("grok-4.1:fast/x@y", "grok-4.1:fast/x@y"),
        ("it is disabled: XAI_API_KEY is not set", '"it is disabled: XAI_API_KEY is not set"'),
        ("a=b", '"a=b"'),
        ('the "best"', r'"the \"best\""'),
        ("C:\\models", r'"C:\\models"'),
        ("schlüssel 日本 🙂", '"schlüssel 日本 🙂"'),
        ("a\nb", r'"a\nb"'),
        ("a\u2028b\u202ec\x7f", r'"a\u2028b\u202ec\u007f"'),
    ],
)
def test_a_value_is_a_plain_word_or_stands_readable_in_quotes(value, written):
    assert as_value(value) == written


@pytest.mark.parametrize("value", HARMFUL.values(), ids=HARMFUL)
def test_whatever_a_stranger_writes_the_line_is_one_and_its_pairs_are_read_again(value):
    line = f"REQUEST session=5e551011 model={as_value(value)} status=499"

    assert line.isprintable()
    assert pairs_in(line) == {"session": "5e551011", "model": value, "status": "499"}


def test_a_long_value_is_cut():
    assert as_value("x" * 1000) == "x" * 200 + "..."


@pytest.mark.parametrize("value", HARMFUL.values(), ids=HARMFUL)
def test_a_message_stays_one_line_as_well(value):
    record = logging.LogRecord("any", logging.ERROR, "", 0, "Unexpected error at %s", (value,), None)

    line = logs.TextFormatter().format(record)

    assert line.isprintable()
    assert " ERROR Unexpected error at " in line
