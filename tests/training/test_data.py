"""The rows the classifier learns from: the same every time, well formed, apart from those that judge it."""

import random
from xml.etree import ElementTree

import numpy as np
import pytest

from engine.router_model import LABELS
from training import data, evaluate, grammar, picture, rows_dialogue, train


def words(row):
    """A row's texts without case and closing marks."""
    return tuple(text.lower().strip(" ?.!") for _, text in row.turns)


def by_authors():
    return [row for name in data.AUTHORS for row in data.by_author(name)]


def test_the_written_rows_come_out_the_same_every_time():
    assert data.written() == data.written()


def test_every_row_has_a_label_and_ends_with_the_user():
    for row in (
        data.pool()
        + data.written()
        + by_authors()
        + [row for name in evaluate.JUDGING for row in evaluate.judging(name)]
    ):
        assert row.label in LABELS
        assert row.turns[-1][0] == "user", row


def test_no_choice_of_the_grammar_is_left_unexpanded():
    left = [row.turns for row in data.written() if any("{" in text or "}" in text for _, text in row.turns)]

    assert left == []


@pytest.mark.parametrize("name", evaluate.JUDGING)
def test_no_row_that_judges_is_trained_on(name):
    trained = {
        words(row)
        for row in data.sample(data.pool(), data.ROWS_PER_SOURCE_AND_LABEL)
        + data.written()
        + data.second_step()
    }

    assert [row.turns for row in evaluate.judging(name) if words(row) in trained] == []


def test_no_author_wrote_nearly_what_a_stranger_asks():
    asked = [set(" ".join(words(row)).split()) for row in data.by_author(data.STRANGERS)]

    near = [
        row.turns
        for row in by_authors()
        for mine in [set(" ".join(words(row)).split())]
        if any(len(mine & other) > 0.6 * len(mine | other) for other in asked)
    ]

    assert near == []


def test_every_author_is_left_out_once():
    assert sorted(name for half in evaluate.HALVES for name in half) == sorted(data.AUTHORS)


def test_the_second_step_leaves_out_the_authors_it_is_told_to():
    rows = data.second_step(["hard", "fresh"])

    assert {"hard", "fresh"} < {row.source for row in rows}
    assert not {"everyday", "languages", "lookalikes"} & {row.source for row in rows}


def test_labels_weigh_as_the_prior_says_whatever_their_number():
    rows = data.second_step()

    weights = train.row_weights(rows)

    shares = {
        label: sum(weight for row, weight in zip(rows, weights, strict=True) if row.label == label)
        / len(rows)
        for label in LABELS
    }
    assert shares == pytest.approx(train.PRIOR, abs=1e-4)


def test_written_rows_do_not_contradict_each_other():
    labels = {}
    for row in data.written() + by_authors():
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
    assert evaluate.calibration_error(
        np.array([[1.0, 0, 0], [1.0, 0, 0]]), np.array([0, 1])
    ) == pytest.approx(0.5)


def test_the_figures_of_a_perfect_reader():
    shares = np.eye(3)[[0, 0, 1, 2]]

    found = evaluate.figures(shares, np.array([0, 0, 1, 2]))

    assert found["accuracy"] == found["macro-F1"] == found["recall ENRICH"] == 1
    assert found["traffic-weighted (80/10/10)"] == pytest.approx(1)
    assert found["needless escalations per 100 MODERATE"] == found["expected calibration error"] == 0


def test_a_needless_escalation_costs_accuracy_and_weighs_eight_tenths_in_traffic():
    shares = np.eye(3)[[1, 0, 1, 2]]

    found = evaluate.figures(shares, np.array([0, 0, 1, 2]))

    assert found["accuracy"] == 0.75
    assert found["traffic-weighted (80/10/10)"] == pytest.approx(0.6)
    assert found["needless escalations per 100 MODERATE"] == 50


def test_the_picture_shows_every_count():
    drawn = ElementTree.fromstring(picture.confusion([[5, 1], [2, 7]], ("YES", "NO"), "a title"))

    texts = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [
        "a title",
        "YES",
        "NO",
        "YES",
        "5",
        "83.3 %",
        "1",
        "16.7 %",
        "NO",
        "2",
        "22.2 %",
        "7",
        "77.8 %",
    ]
