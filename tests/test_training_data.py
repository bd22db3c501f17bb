"""The rows the classifier learns from: the same every time, well formed, and apart from the rows it is judged on."""

import random

import numpy as np
import pytest

from engine.router_model import LABELS
from training import data, evaluate, grammar, rows_dialogue


def words(row):
    """A row's texts without case and closing marks."""
    return tuple(text.lower().strip(" ?.!") for _, text in row.turns)


def test_the_written_rows_come_out_the_same_every_time():
    assert data.written() == data.written()


def test_every_row_has_a_label_and_ends_with_the_user():
    for row in data.pool() + data.written() + data.by_hand("development") + data.by_hand("held_out"):
        assert row.label in LABELS
        assert row.turns[-1][0] == "user", row


def test_no_choice_of_the_grammar_is_left_unexpanded():
    left = [row.turns for row in data.written() if any("{" in text or "}" in text for _, text in row.turns)]

    assert left == []


@pytest.mark.parametrize("name", ["development", "held_out"])
def test_no_row_that_judges_is_trained_on(name):
    trained = {words(row) for row in data.pool() + data.written()}

    assert [row.turns for row in data.by_hand(name) if words(row) in trained] == []


def test_written_rows_do_not_contradict_each_other():
    labels = {}
    for row in data.written():
        labels.setdefault(words(row), set()).add(row.label)

    assert [turns for turns, found in labels.items() if len(found) > 1] == []


def test_a_disguise_keeps_the_label():
    rows = data.written()[:200]

    coats = data.disguised(rows, seed=5)

    assert coats
    assert {(coat.label, coat.kind) for coat in coats} <= {(row.label, row.kind) for row in rows}


def test_a_line_of_the_grammar_takes_one_alternative_and_one_entry():
    sentence = grammar.expand("{Who is|Who's} in {city}?", {"city": ["Oslo"]}, random.Random(1))

    assert sentence in ("Who is in Oslo?", "Who's in Oslo?")


def test_a_name_without_a_list_is_an_error():
    with pytest.raises(ValueError, match="no list named 'town'"):
        grammar.expand("in {town}", {}, random.Random(1))


def test_typing_noise_keeps_the_words_recognisable():
    noisy = rows_dialogue.mistyped("What is the capital of France?", random.Random(3))

    assert noisy.lower().startswith("wh") and len(noisy) > 20


def test_the_interval_of_a_share_holds_the_share():
    low, high = evaluate.interval(90, 100)

    assert (round(low, 3), round(high, 3)) == (0.826, 0.945)


def test_calibration_error_is_nil_for_honest_certainty():
    assert evaluate.calibration_error(np.array([[1.0, 0, 0], [0, 1.0, 0]]), np.array([0, 1])) == 0
    assert evaluate.calibration_error(np.array([[1.0, 0, 0], [1.0, 0, 0]]), np.array([0, 1])) == pytest.approx(0.5)
