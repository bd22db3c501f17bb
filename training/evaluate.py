"""Judge the routing classifier: `python -m training.evaluate` prints the table for weights/ on the project's own rows.

`--leave-out` (half an hour on two cores) trains without thirteen sources, judges that model on them, and prints the mixture of the two readers and its
temperature that would suit what they said there: training/calibration.json is set with it.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence

import numpy as np

from engine import blas, models_dir
from engine.router_model import LABELS, RouterModel
from training import data
from training.lexical import softmax
from training.train import Features, bar, fit, row_weights

TRAFFIC = {"MODERATE": 0.8, "COMPLEX": 0.1, "ENRICH": 0.1}
LATENCY_ROUNDS = 200
UNSEEN = (
    "hwu64",
    "arena-hard-v2",
    "olympiadbench",
    "self-instruct",
    "nq-open",
    "gpteacher-codegen",
    "wildchat-hard-ru",
    "svamp",
    "mt-bench-101",
    "template-injection",
    "template-zh",
    "template-fr",
    "template-pl",
)


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
    gaps = [abs(confidence[slots == slot].mean() - right[slots == slot].mean()) * (slots == slot).mean() for slot in set(slots.tolist())]
    return float(sum(gaps))


def report(shares: np.ndarray, labels: np.ndarray, groups: Sequence[str]) -> str:
    """The table: whole figures, recall and precision per label, confusions, and accuracy with its interval per group."""
    said, groups = shares.argmax(axis=1), np.array(groups)
    confusion = np.array([[int(((labels == true) & (said == other)).sum()) for other in range(len(LABELS))] for true in range(len(LABELS))])
    recall = confusion.diagonal() / np.maximum(confusion.sum(axis=1), 1)
    precision = confusion.diagonal() / np.maximum(confusion.sum(axis=0), 1)
    f1 = 2 * recall * precision / np.maximum(recall + precision, 1e-9)
    low, high = interval(int((said == labels).sum()), len(labels))
    lines = [
        f"rows {len(labels)}  accuracy {(said == labels).mean():.3f} [{low:.3f}, {high:.3f}]  macro-F1 {f1.mean():.3f}"
        f"  traffic-weighted {sum(TRAFFIC[label] * recall[place] for place, label in enumerate(LABELS)):.3f}"
        f"  needless escalations per 100 MODERATE {100 * (1 - recall[0]):.1f}  calibration error {calibration_error(shares, labels):.3f}",
        "",
        f"{'':10}{'recall':>8}{'precision':>11}   said " + " ".join(f"{label:>9}" for label in LABELS),
    ]
    lines += [
        f"{label:10}{recall[place]:8.3f}{precision[place]:11.3f}        " + " ".join(f"{count:9}" for count in confusion[place])
        for place, label in enumerate(LABELS)
    ]
    lines += ["", f"{'group':26}{'rows':>6}{'accuracy':>10}   95 % interval"]
    for group in sorted(set(groups.tolist())):
        right = said[groups == group] == labels[groups == group]
        low, high = interval(int(right.sum()), len(right))
        lines.append(f"{group:26}{len(right):6}{right.mean():10.3f}   {low:.3f} - {high:.3f}")
    return "\n".join(lines)


def fit_mixture(by_meaning: np.ndarray, by_letter: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> dict:
    """How much each reader counts and a bias per label, by gradient descent on the weighted likelihood: one temperature for each reader."""
    meaning, letter, bias = 1.0, 0.3, np.zeros(len(LABELS))
    wanted, share = np.eye(len(LABELS))[labels], (weights / weights.sum())[:, None]
    for _ in range(4000):
        error = (softmax(meaning * by_meaning + letter * by_letter + bias) - wanted) * share
        meaning -= 0.05 * (error * by_meaning).sum()
        letter = max(0.0, letter - 0.05 * (error * by_letter).sum())
        bias -= 0.3 * error.sum(axis=0)
    return {"meaning": round(float(meaning), 4), "letter": round(float(letter), 4), "bias": [round(float(value), 4) for value in bias - bias.mean()]}


def leave_out(encoder) -> None:
    """Train without the UNSEEN sources, print how their rows fare, doubtful labels included, and the mixture that would suit them."""
    known = [row for row in data.training_rows() if row.source not in UNSEEN]
    unseen = data.sample([row for row in data.pool(doubtful=True) if row.source in UNSEEN], data.ROWS_PER_SOURCE_AND_LABEL)
    features = Features.of(unseen, encoder.token_ids)
    by_meaning, by_letter = fit(known, encoder, bar).logits(features)
    mixture = fit_mixture(by_meaning, by_letter, features.labels, row_weights(unseen))
    shares = softmax(mixture["meaning"] * by_meaning + mixture["letter"] * by_letter + np.array(mixture["bias"]))
    print(f"{report(shares, features.labels, [row.source for row in unseen])}\n\n{json.dumps(mixture)}")


def judge(model: RouterModel, rows: list[data.Row], name: str, list_wrong: bool) -> None:
    """Print the table for some rows, by kind, and what was decided wrongly if asked."""
    shares = np.array([[said[label] for label in LABELS] for said in model.batch([list(row.turns) for row in rows])])
    labels = np.array([LABELS.index(row.label) for row in rows])
    print(f"{name}\n{report(shares, labels, [row.kind for row in rows])}\n")
    for row, said, label in zip(rows, shares, labels, strict=True):
        if list_wrong and said.argmax() != label:
            print(f"{row.label} read as {LABELS[said.argmax()]} ({said.max():.2f}): {row.turns[-1][1][:120]}")


def latency(model: RouterModel) -> None:
    """Print how long one classification takes, whole, for conversations of three lengths."""
    sentence = "could you tell me how the old harbour of the town was built and who paid for it"
    asked = {"30 tokens": [("user", f"{sentence} {sentence}"[:150])], "200 tokens": [("user", f"{sentence}. " * 11)]}
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
    options.add_argument("--leave-out", action="store_true", help="train without thirteen sources and judge on them (half an hour)")
    options.add_argument("--wrong", action="store_true", help="list the held-out rows that are decided wrongly")
    options.add_argument("--latency", action="store_true", help="time single classifications instead; run it on a quiet machine")
    chosen = options.parse_args()
    blas.load()
    if chosen.leave_out:
        from engine.encoder import FOLDER, Encoder

        leave_out(Encoder(models_dir() / FOLDER))
        return
    model = RouterModel.load(models_dir())
    if chosen.latency:
        latency(model)
        return
    for name in ("development", "held_out"):
        judge(model, data.by_hand(name), name, chosen.wrong)


if __name__ == "__main__":
    main()
