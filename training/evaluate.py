"""Judge the routing classifier on rows that it was never trained on: `python -m training.evaluate`.

Without options it prints the table for weights/. `--leave-out authors` (half an hour on two cores) trains
twice, each time without half of the authors, and judges each model on those it has not seen. It also prints
the mixture of the two readers, their temperatures and the biases, that suits those rows best:
training/calibration.json is set with it. `--leave-out sources` trains on the authors' rows alone and judges
that on every source of the pool. `--dial` prints what `classifier.escalation_cost` changes.
"""

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine import blas, models_dir
from engine.router_model import LABELS, SCRIPTS, Reading, RouterModel, is_foreign
from training import data, picture
from training.lexical import softmax
from training.progress import bar
from training.train import Features, begin, finish, row_weights, untrained
from wire import JsonObject

if TYPE_CHECKING:  # MLX may be imported only after blas.load()
    from engine.encoder import Encoder

TRAFFIC = {"MODERATE": 0.8, "COMPLEX": 0.1, "ENRICH": 0.1}
LATENCY_ROUNDS = 200
RESAMPLES = 1000
COSTS = (0.25, 0.5, 1.0, 2.0, 4.0)
DIAL_HEAD = """\
| escalation_cost | of 100 leave home | accuracy | needless of 100 MODERATE | recall COMPLEX | recall ENRICH |
| ---: | ---: | ---: | ---: | ---: | ---: |"""
BY_HAND = ("development", "held_out", data.STRANGERS)
HALVES = (("hard", "fresh"), ("everyday", "languages", "lookalikes"))
REST = "rest of the pool"
JUDGING = ("development", "held_out", REST, data.STRANGERS)
PICTURE = Path(__file__).resolve().parent.parent / "docs" / "confusion.svg"


def interval(right: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not of:
        return 0.0, 1.0
    share, z = right / of, 1.96
    centre, spread = share + z * z / (2 * of), z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (centre - spread) / (1 + z * z / of), (centre + spread) / (1 + z * z / of)


def calibration_error(shares: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error of the winning label's share."""
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == labels
    slots = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[slots == slot].mean() - right[slots == slot].mean()) * (slots == slot).mean()
        for slot in set(slots.tolist())
    ]
    return float(sum(gaps))


def confusion(shares: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts, (true label, label read)."""
    counts = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(counts, (labels, shares.argmax(axis=1)), 1)
    return counts


def figures(shares: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Everything the classifier is judged by, of some rows; a recall of a label that no row has is 0."""
    counts = confusion(shares, labels)
    recall = counts.diagonal() / np.maximum(counts.sum(axis=1), 1)
    precision = counts.diagonal() / np.maximum(counts.sum(axis=0), 1)
    return {
        "accuracy": counts.trace() / len(labels),
        "macro-F1": float((2 * recall * precision / np.maximum(recall + precision, 1e-9)).mean()),
        "traffic-weighted (80/10/10)": float(recall @ [TRAFFIC[label] for label in LABELS]),
        "needless escalations per 100 MODERATE": 100 * (1 - recall[0]),
        **{f"recall {label}": recall[place] for place, label in enumerate(LABELS)},
        "expected calibration error": calibration_error(shares, labels),
    }


def report(shares: np.ndarray, labels: np.ndarray, groupings: Mapping[str, Sequence[str]]) -> str:
    """The table: each figure with its 95 % interval, confusions, and accuracy by group of each grouping.

    The intervals come from rows drawn anew RESAMPLES times.
    """
    draws = np.random.default_rng(1).integers(0, len(labels), (RESAMPLES, len(labels)))
    drawn = [figures(shares[rows], labels[rows]) for rows in draws]
    lines = [f"{len(labels)} rows"]
    for name, value in figures(shares, labels).items():
        low, high = np.percentile([other[name] for other in drawn], [2.5, 97.5])
        lines.append(f"{name:40}{value:8.3f}   {low:.3f} - {high:.3f}")
    lines += ["", f"{'':40}read as " + " ".join(f"{label:>9}" for label in LABELS)]
    lines += [
        f"{label:>40}        " + " ".join(f"{count:9}" for count in row)
        for label, row in zip(LABELS, confusion(shares, labels), strict=True)
    ]
    right = shares.argmax(axis=1) == labels
    for title, groups in groupings.items():
        lines += ["", f"{title:40}{'rows':>8}{'accuracy':>10}   95 % interval"]
        for group in sorted(set(groups)):
            of_group = right[np.array(groups) == group]
            low, high = interval(int(of_group.sum()), len(of_group))
            accuracy = f"{of_group.mean():10.3f}   {low:.3f} - {high:.3f}"
            lines.append(f"{group or 'not noted':40}{len(of_group):8}{accuracy}")
    return "\n".join(lines)


def groupings(rows: list[data.Row]) -> dict[str, list[str]]:
    """Rows by where they come from, by what they stand for and by language."""
    return {
        "source": [row.source for row in rows],
        "kind": [row.kind for row in rows],
        "language": [row.language for row in rows],
    }


def fit_mixture(
    by_meaning: np.ndarray, by_letter: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> JsonObject:
    """How much each reader counts, which is also its temperature, and a bias per label.

    By gradient descent on the weighted likelihood.
    """
    meaning, letter, bias = 1.0, 0.3, np.zeros(len(LABELS))
    wanted, share = np.eye(len(LABELS))[labels], (weights / weights.sum())[:, None]
    for _ in range(4000):
        error = (softmax(meaning * by_meaning + letter * by_letter + bias) - wanted) * share
        meaning -= 0.05 * (error * by_meaning).sum()
        letter = max(0.0, letter - 0.05 * (error * by_letter).sum())
        bias -= 0.3 * error.sum(axis=0)
    return {
        "meaning": round(float(meaning), 4),
        "letter": round(float(letter), 4),
        "bias": [round(float(value), 4) for value in bias - bias.mean()],
    }


def leave_authors_out(encoder: "Encoder") -> None:
    """Train without each half of the authors, print how their rows fare, and the mixture that suits them."""
    first, rows, logits = data.first_step(), [], []
    begun = begin(first, encoder, bar)
    for half in HALVES:
        second = data.second_step([name for name in data.AUTHORS if name not in half])
        trained = finish(begun, first, second, encoder, bar)
        unseen = [row for name in half for row in data.by_author(name)]
        rows += unseen
        logits.append(trained.logits(Features.of(unseen, encoder.token_ids)))
    by_meaning, by_letter = (np.concatenate(of_reader) for of_reader in zip(*logits, strict=True))
    labels = np.array([LABELS.index(row.label) for row in rows])
    foreign = np.array([is_foreign(Reading.of(list(row.turns))) for row in rows])
    mixtures, shares = {}, np.zeros(by_meaning.shape)
    for script, which in zip(SCRIPTS, (~foreign, foreign), strict=True):
        meaning, letter = by_meaning[which], by_letter[which]
        weights = row_weights([row for row, of_script in zip(rows, which, strict=True) if of_script])
        mixtures[script] = mixture = fit_mixture(meaning, letter, labels[which], weights)
        mixed = mixture["meaning"] * meaning + mixture["letter"] * letter + np.array(mixture["bias"])
        shares[which] = softmax(mixed)
    print(f"{report(shares, labels, groupings(rows))}\n\n{json.dumps(mixtures)}")


def leave_sources_out(encoder: "Encoder") -> None:
    """Train the published encoder on the authors' rows alone and print how the pool fares.

    Its doubtful labels are included.
    """
    known = [row for name in data.AUTHORS for row in data.by_author(name)]
    unseen = data.sample(data.pool(doubtful=True), data.ROWS_PER_SOURCE_AND_LABEL)
    begun = untrained(Features.of(known, encoder.token_ids).shapes, encoder)
    trained = finish(begun, [], known, encoder, bar)
    features = Features.of(unseen, encoder.token_ids)
    by_meaning, _ = trained.logits(features)
    print(report(softmax(by_meaning), features.labels, {"source": [row.source for row in unseen]}))


def judging(name: str) -> list[data.Row]:
    """The rows of one of JUDGING."""
    if name == REST:
        return data.rest_of_pool()
    return data.by_author(name) if name == data.STRANGERS else data.by_hand(name)


def judge(model: RouterModel, name: str, list_wrong: bool) -> np.ndarray:
    """Print the table for one of JUDGING, and what was decided wrongly if asked; returns the confusions."""
    rows = judging(name)
    shares = np.array([list(model.probabilities(list(row.turns)).values()) for row in rows])
    labels = np.array([LABELS.index(row.label) for row in rows])
    print(f"{name}: {report(shares, labels, groupings(rows))}\n")
    for row, share, label in zip(rows, shares, labels, strict=True):
        if list_wrong and share.argmax() != label:
            text = row.turns[-1][1][:120]
            print(f"{row.label} read as {LABELS[share.argmax()]} ({share.max():.2f}): {text}")
    return confusion(shares, labels)


def latency(model: RouterModel) -> None:
    """Print how long one classification takes, whole, for conversations of three lengths."""
    sentence = "could you tell me how the old harbour of the town was built and who paid for it"
    conversations = {
        "30 tokens": [("user", f"{sentence} {sentence}"[:150])],
        "200 tokens": [("user", f"{sentence}. " * 11)],
        "2,000 tokens": [(("user", "assistant")[turn % 2], f"{sentence}. " * 22) for turn in range(5)],
    }
    for name, turns in conversations.items():
        took_ms = []
        for _ in range(LATENCY_ROUNDS):
            started = time.perf_counter()
            model.probabilities(turns)
            took_ms.append((time.perf_counter() - started) * 1000)
        quickest, median, slow = np.percentile(took_ms, [0, 50, 95])
        print(f"{name:>14}: quickest {quickest:5.1f} ms  p50 {median:5.1f} ms  p95 {slow:5.1f} ms")


def dial(model: RouterModel) -> None:
    """Print what the rows written by hand are decided to be under each of COSTS, as Markdown.

    "leave home" is of 100 requests that are mixed as TRAFFIC says, not as these rows are.
    """
    rows = [row for name in BY_HAND for row in judging(name)]
    shares = np.array([list(model.probabilities(list(row.turns)).values()) for row in rows])
    labels = np.array([LABELS.index(row.label) for row in rows])
    print(f"{len(rows)} rows\n\n{DIAL_HEAD}")
    for cost in COSTS:
        weighed = shares / [1.0 if label == "MODERATE" else cost for label in LABELS]
        found = figures(weighed / weighed.sum(axis=1, keepdims=True), labels)
        counts = confusion(weighed, labels)
        away = 1 - counts[:, LABELS.index("MODERATE")] / counts.sum(axis=1)
        leave = 100 * float(away @ [TRAFFIC[label] for label in LABELS])
        needless = found["needless escalations per 100 MODERATE"]
        recalls = f"{found['recall COMPLEX']:.2f} | {found['recall ENRICH']:.2f}"
        print(f"| {cost:g} | {leave:.1f} | {found['accuracy']:.3f} | {needless:.1f} | {recalls} |")


def main() -> None:
    options = _options()
    blas.load()
    if options.leave_out:
        from engine.encoder import FOLDER, Encoder

        encoder = Encoder(models_dir() / FOLDER)
        (leave_authors_out if options.leave_out == "authors" else leave_sources_out)(encoder)
        return
    model = RouterModel.load(models_dir())
    if options.latency:
        latency(model)
        return
    if options.dial:
        dial(model)
        return
    counts = [judge(model, name, options.wrong and name != data.STRANGERS) for name in JUDGING]
    title = f"{data.STRANGERS}: what {counts[-1].sum()} rows are (down) and were read as"
    PICTURE.write_text(picture.confusion(counts[-1].tolist(), LABELS, title))
    shown = PICTURE.relative_to(Path.cwd()) if PICTURE.is_relative_to(Path.cwd()) else PICTURE
    print(f"confusions of {data.STRANGERS} drawn in {shown}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Judge the routing classifier.")
    parser.add_argument(
        "--leave-out",
        choices=("authors", "sources"),
        help="train without some of the rows and judge on those",
    )
    parser.add_argument(
        "--wrong",
        action="store_true",
        help="list the rows of the development and held-out files that are decided wrongly",
    )
    parser.add_argument(
        "--latency",
        action="store_true",
        help="time single classifications instead; run it on a quiet machine",
    )
    parser.add_argument(
        "--dial",
        action="store_true",
        help="print what classifier.escalation_cost changes instead",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
