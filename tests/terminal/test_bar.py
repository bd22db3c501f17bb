"""The bar: one line redrawn on a terminal, plain lines in a pipe, and a guess of the time left."""

import io

import pytest

from terminal import bar as bars
from terminal.bar import Bar, time_left


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    """A clock that is set by hand."""
    return Clock()


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "62")


def test_a_terminal_has_one_line_that_is_drawn_over_itself_and_taken_away(clock, narrow):
    screen = Terminal()
    bar = Bar(screen, clock)

    bar.show("Fetching", 0, "numpy")
    clock.now += 10
    bar.show("Fetching", 0.5, "numpy")
    bar.clear()

    _, first, second, rest = screen.getvalue().split("\r\x1b[K")
    assert first == "Fetching [------------------------]   0%  numpy"
    assert second == "Fetching [############------------]  50%  about 10 s left  nu"  # cut at the edge
    assert rest == ""


def test_a_terminal_is_not_drawn_on_more_often_than_one_sees(clock, narrow):
    screen = Terminal()
    bar = Bar(screen, clock)

    for _ in range(50):
        bar.show("Fetching", 0.1)
    clock.now += bars.REDRAWN_S
    bar.show("Fetching", 0.2)

    assert screen.getvalue().count("\r") == 2


def test_a_line_that_stays_stands_above_the_bar(clock, narrow):
    screen = Terminal()
    bar = Bar(screen, clock)

    bar.show("Fetching", 0.1)
    bar.say("numpy: ready")
    bar.show("Fetching", 0.2)

    assert "\r\x1b[Knumpy: ready\n\r\x1b[KFetching [####---" in screen.getvalue()


def test_a_pipe_gets_a_few_plain_lines(clock):
    pipe = io.StringIO()
    bar = Bar(pipe, clock)

    for step in range(39):
        bar.show("Fetching", step / 40, "numpy")
        clock.now += 0.25
    bar.say("done")

    assert pipe.getvalue() == "Fetching\nFetching: 50%, about 5 s left, numpy\ndone\n"


def test_a_dumb_terminal_counts_as_a_pipe(clock, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    screen = Terminal()

    Bar(screen, clock).show("Fetching", 0.5)

    assert screen.getvalue() == "Fetching\n"


def test_a_terminal_that_is_gone_stops_nothing(clock):
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError

    Bar(Gone(), clock).say("done")


@pytest.mark.parametrize(
    ("elapsed_s", "fraction", "words"),
    [
        (1, 0.5, ""),  # too early to tell
        (30, 0, ""),
        (30, 1, ""),
        (10, 0.9, "a few seconds left"),
        (20, 0.5, "about 20 s left"),
        (100, 0.25, "about 5 min left"),
    ],
)
def test_the_time_left_is_said_in_words(elapsed_s, fraction, words):
    assert time_left(elapsed_s, fraction) == words
