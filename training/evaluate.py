"""Judge the routing classifier: `python -m training.evaluate` prints the table for weights/ on the rows it was never trained on.

`--leave-out authors` (half an hour on two cores) trains twice, each time without half of the authors, judges each model on those it has not seen, and prints
the mixture of the two readers, its temperature and its biases that suit what they said there: training/calibration.json is set with it.
`--leave-out sources` trains on the authors' rows alone and judges that on every source of the pool.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine import blas, models_dir
from engine.router_model import LABELS, SCRIPTS, Reading, RouterModel, is_foreign
from training import data, picture
from training.lexical import softmax
from training.train import Features, bar, begin, finish, row_weights, untrained

TRAFFIC = {"MODERATE": 0.8, "COMPLEX": 0.1, "ENRICH": 0.1}
LATENCY_ROUNDS = 200
RESAMPLES = 1000
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
    said = shares.argmax(axis=1)
    return np.array(
        [
            [int(((labels == true) & (said == other)).sum()) for other in range(len(LABELS))]
            for true in range(len(LABELS))
        ]
    )


def figures(shares: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Everything the classifier is judged by, of some rows; a recall of a label that no row has is 0."""
    counts = confusion(shares, labels)
    recall = counts.diagonal() / np.maximum(counts.sum(axis=1), 1)
    precision = counts.diagonal() / np.maximum(counts.sum(axis=0), 1)
    return {
        "accuracy": counts.trace() / len(labels),
        "macro-F1": float((2 * recall * precision / np.maximum(recall + precision, 1e-9)).mean()),
        "traffic-weighted (80/10/10)": float(
            sum(TRAFFIC[label] * recall[place] for place, label in enumerate(LABELS))
        ),
        "needless escalations per 100 MODERATE": 100 * (1 - recall[0]),
        **{f"recall {label}": recall[place] for place, label in enumerate(LABELS)},
        "expected calibration error": calibration_error(shares, labels),
    }


def report(shares: np.ndarray, labels: np.ndarray, groupings: dict[str, Sequence[str]]) -> str:
    """The table: each figure with its 95 % interval (rows drawn anew RESAMPLES times), confusions, and accuracy by group of each grouping."""
    rng = np.random.default_rng(1)
    drawn = [
        figures(shares[rows], labels[rows]) for rows in rng.integers(0, len(labels), (RESAMPLES, len(labels)))
    ]
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
            lines.append(
                f"{group or 'not noted':40}{len(of_group):8}{of_group.mean():10.3f}   {low:.3f} - {high:.3f}"
            )
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
) -> dict:
    """How much each reader counts and a bias per label, by gradient descent on the weighted likelihood: one temperature for each reader."""
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


def leave_authors_out(encoder) -> None:
    """Train without each half of the authors, print how their rows fare, and the mixture that suits them."""
    first, rows, said = data.first_step(), [], []
    begun = begin(first, encoder, bar)
    for half in HALVES:
        trained = finish(
            begun, first, data.second_step([name for name in data.AUTHORS if name not in half]), encoder, bar
        )
        unseen = [row for name in half for row in data.by_author(name)]
        rows += unseen
        said.append(trained.logits(Features.of(unseen, encoder.token_ids)))
    by_meaning, by_letter = (np.concatenate(logits) for logits in zip(*said, strict=True))
    labels = np.array([LABELS.index(row.label) for row in rows])
    foreign = np.array([is_foreign(Reading.of(list(row.turns))) for row in rows])
    mixtures, shares = {}, np.zeros(by_meaning.shape)
    for script, which in zip(SCRIPTS, (~foreign, foreign), strict=True):
        mixtures[script] = mixture = fit_mixture(
            by_meaning[which],
            by_letter[which],
            labels[which],
            row_weights(np.array(rows, object)[which].tolist()),
        )
        shares[which] = softmax(
            mixture["meaning"] * by_meaning[which]
            + mixture["letter"] * by_letter[which]
            + np.array(mixture["bias"])
        )
    print(f"{report(shares, labels, groupings(rows))}\n\n{json.dumps(mixtures)}")


def leave_sources_out(encoder) -> None:
    """Train the published encoder on the authors' rows alone, and print how the pool fares, doubtful labels included."""
    known = [row for name in data.AUTHORS for row in data.by_author(name)]
    unseen = data.sample(data.pool(doubtful=True), data.ROWS_PER_SOURCE_AND_LABEL)
    trained = finish(
        untrained(Features.of(known, encoder.token_ids).shapes, encoder), [], known, encoder, bar
    )
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
    for row, said, label in zip(rows, shares, labels, strict=True):
        if list_wrong and said.argmax() != label:
            print(f"{row.label} read as {LABELS[said.argmax()]} ({said.max():.2f}): {row.turns[-1][1][:120]}")
    return confusion(shares, labels)


def latency(model: RouterModel) -> None:
    """Print how long one classification takes, whole, for conversations of three lengths."""
    sentence = "could you tell me how the old harbour of the town was built and who paid for it"
    asked = {
        "30 tokens": [("user", f"{sentence} {sentence}"[:150])],
        "200 tokens": [("user", f"{sentence}. " * 11)],
    }
    asked["2,000 tokens"] = [(("user", "assistant")[turn % 2], f"{sentence}. " * 22) for turn in range(5)]
    for name, turns in asked.items():
        took_ms = []
        for _ in range(LATENCY_ROUNDS):
            started = time.perf_counter()
            model.probabilities(turns)
            took_ms.append((time.perf_counter() - started) * 1000)
        quickest, median, slow = np.percentile(took_ms, [0, 50, 95])
        print(f"{name:>14}: quickest {quickest:5.1f} ms  p50 {median:5.1f} ms  p95 {slow:5.1f} ms")


def main() -> None:
    options = argparse.ArgumentParser(description="Judge the routing classifier.")
    options.add_argument(
        "--leave-out",
        choices=("authors", "sources"),
        help="train without some of the rows and judge on those",
    )
    options.add_argument(
        "--wrong",
        action="store_true",
        help="list the rows of the development and held-out files that are decided wrongly",
    )
    options.add_argument(
        "--latency",
        action="store_true",
        help="time single classifications instead; run it on a quiet machine",
    )
    chosen = options.parse_args()
    blas.load()
    if chosen.leave_out:
        from engine.encoder import FOLDER, Encoder

        encoder = Encoder(models_dir() / FOLDER)
        (leave_authors_out if chosen.leave_out == "authors" else leave_sources_out)(encoder)
        return
    model = RouterModel.load(models_dir())
    if chosen.latency:
        latency(model)
        return
    counts = [judge(model, name, chosen.wrong and name != data.STRANGERS) for name in JUDGING]
    PICTURE.write_text(
        picture.confusion(
            counts[-1].tolist(),
            LABELS,
            f"{data.STRANGERS}: what {counts[-1].sum()} rows are (down) and were read as",
        )
    )
    print(
        f"confusions of {data.STRANGERS} drawn in {PICTURE.relative_to(Path.cwd()) if PICTURE.is_relative_to(Path.cwd()) else PICTURE}"
    )


if __name__ == "__main__":
    main()
