"""One configuration succeeds another: what a change leaves as it was is taken over, the rest is made anew."""

import gc
import weakref
from datetime import datetime
from operator import attrgetter

import pytest

import services
from errors import ConfigError
from settings import loader
from tests.support.config_texts import MINIMAL
from tests.support.waiting import await_that


def of(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    return loader.load(tmp_path / "config.yaml", {})


@pytest.fixture
def parts_of(tmp_path):
    """Makes the parts under a configuration, or those that follow others; closes them in the end."""
    made = []

    def parts_of(text, previous=None):
        config = of(tmp_path, text)
        made.append(previous.successor(config) if previous else services.Services(config))
        return made[-1]

    yield parts_of
    for parts in made:
        parts.close(None)


JUDGED = 'classifier: {backend: openai, base_url: "http://127.0.0.1:1/v1", model: judge}\n'
SECOND = (
    MINIMAL.replace(
        "providers: {", 'providers: {far: {kind: openai, base_url: "http://127.0.0.1:1/v1", model: large}, '
    )
    + JUDGED
)
# What outlives a change that is about something else.
KEPT = ("metrics", "affinity", "sessions", "accounts.ledger", "accounts.budget")


def test_parts_that_a_change_leaves_as_they_were_are_taken_over(parts_of):
    old = parts_of(SECOND)

    new = parts_of(SECOND.replace("model: large", "model: larger") + "virtual_model: any\n", old)

    assert [name for name in KEPT if attrgetter(name)(new) is not attrgetter(name)(old)] == []
    assert new.providers["near"] is old.providers["near"]
    assert new.providers["far"] is not old.providers["far"]
    assert new.classifier.backend is old.classifier.backend


@pytest.mark.parametrize(
    "change, renewed",
    [
        ("ledger: {url: 'sqlite:///other.db'}\n", {"accounts.ledger", "accounts.budget"}),
        ("budgets: {daily_usd: 1}\n", {"accounts.budget"}),
        ("timezone: UTC\n", {"accounts.budget"}),
    ],
)
def test_parts_that_a_change_is_about_are_made_anew(parts_of, change, renewed):
    old = parts_of(SECOND)

    new = parts_of(SECOND + change, old)

    assert {name for name in KEPT if attrgetter(name)(new) is not attrgetter(name)(old)} == renewed


def test_parts_that_have_served_their_time_are_gone_at_once(tmp_path):
    old = services.Services(of(tmp_path, SECOND))
    new = old.successor(of(tmp_path, SECOND + "timezone: UTC\n"))
    gone = weakref.ref(old)
    gc.disable()  # which would find them some time, with their threads and connections
    try:
        old.close(new)
        del old

        assert gone() is None
    finally:
        gc.enable()
        new.close(None)


@pytest.mark.parametrize(
    "section, change", [("sessions", "sessions: {dir: config.yaml}\n"), ("log", "log: {file: .}\n")]
)
def test_a_change_that_cannot_take_effect_is_refused_and_leaves_the_parts_as_they_are(
    parts_of, tmp_path, section, change
):
    old = parts_of(SECOND)

    with pytest.raises(ConfigError, match=rf"^config\.yaml:5: {section}: (File exists|Is a directory)$"):
        parts_of(SECOND + change, old)

    old.sessions.save("0a1b2c3d", datetime.now(), lambda: {"kept": True})
    await_that(lambda: list((tmp_path / "sessions").glob("*_0a1b2c3d.json")), "the record was not written")


def test_a_spent_budget_shows_in_the_table_and_in_health(parts_of, capsys):
    text = SECOND.replace("model: large", "model: large, home: false").replace("[near]", "[far, near]")
    parts = parts_of(text + "budgets: {daily_usd: 0}\n")
    shown = []

    def told():
        shown.append(capsys.readouterr().out)
        return "far: the budget is spent" in "".join(shown)

    parts.start()
    try:
        await_that(told, "the table does not know of the budget")
        report = parts.health.report()
    finally:
        parts.stop()

    assert all("the budget is spent" in decision["missing"] for decision in report["decisions"])
    assert all(decision["degraded"] for decision in report["decisions"])
