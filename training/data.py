"""The rows that the classifier is trained and judged on, from the pool, from the row writers and from the held-out file.

Labels: data/README.md. META rows of the pool are left out, since META is found by rules and never by the model.
"""

import gzip
import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from training import rows_dialogue, rows_everyday, rows_fresh, rows_hard, rows_languages

DATA_DIR = Path(__file__).resolve().parent / "data"

WRITTEN = "written"
SEED = 1
ROWS_PER_SOURCE_AND_LABEL = 220  # more of one manner adds time and no accuracy
DISGUISED_OF_WRITTEN, DISGUISED_OF_POOL = 0.6, 0.15


@dataclass(frozen=True)
class Row:
    """One request: its label, where it comes from and its turns, (role, text), the user's last."""

    label: str
    source: str
    kind: str
    turns: tuple[tuple[str, str], ...]


def pool(*, doubtful: bool = False) -> list[Row]:
    """The imported and templated rows of data/pool.jsonl.gz without META; those listed in data/doubtful.txt only if asked for."""
    left_out = set() if doubtful else set((DATA_DIR / "doubtful.txt").read_text().splitlines())
    with gzip.open(DATA_DIR / "pool.jsonl.gz", "rt", encoding="utf-8") as file:
        stored = [json.loads(line) for line in file]
    return [
        Row(row["label"], row["source"].split(":")[0], row["source"], _turns(row)) for row in stored if row["label"] != "META" and row["id"] not in left_out
    ]


def _turns(row: dict) -> tuple[tuple[str, str], ...]:
    if "text" in row:
        return (("user", row["text"]),)
    return tuple((message["role"], message["content"]) for message in row["messages"])


def written() -> list[Row]:
    """The rows of the row writers, each once."""
    single = [row for module in (rows_fresh, rows_hard, rows_everyday, rows_languages) for row in module.rows()]
    rows = [Row(label, WRITTEN, kind, (("user", text),)) for label, kind, text in single]
    rows += [Row(label, WRITTEN, kind, tuple(turns)) for label, kind, turns in rows_dialogue.follow_ups()]
    return list({row.turns: row for row in rows}.values())


def disguised(rows: list[Row], seed: int) -> list[Row]:
    """A share of the rows once more in another coat, labels kept: what `rows_dialogue.disguised` does to a request."""
    rng = random.Random(seed)
    others = [list(row.turns) for row in rows if sum(len(text) for _, text in row.turns) < 600]
    coats = []
    for row in rows:
        share = DISGUISED_OF_WRITTEN if row.source == WRITTEN else DISGUISED_OF_POOL
        if rng.random() < share:
            coats.append(Row(row.label, row.source, row.kind, tuple(rows_dialogue.disguised(list(row.turns), others, rng))))
    return coats


def sample(rows: list[Row], limit: int) -> list[Row]:
    """At most `limit` rows of each source and label, drawn the same way every time."""
    drawn, taken, kept = list(rows), Counter(), []
    random.Random(SEED).shuffle(drawn)
    for row in drawn:
        taken[row.source, row.label] += 1
        if taken[row.source, row.label] <= limit:
            kept.append(row)
    return kept


def training_rows() -> list[Row]:
    """Everything that is trained on: the pool's sources evened out, the written rows, and disguised copies of both."""
    rows = sample(pool(), ROWS_PER_SOURCE_AND_LABEL) + written()
    return rows + disguised(rows, SEED)


def by_hand(name: str) -> list[Row]:
    """The project's own test rows of data/<name>.txt, `development` or `held_out`; their kind is the slice they stand for."""
    rows = []
    for line in (DATA_DIR / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            label, kind, conversation = line.split("\t")
            texts = conversation.replace("\\n", "\n").split(" || ")
            rows.append(Row(label, name, kind, _alternating(texts)))
    return rows


def _alternating(texts: list[str]) -> tuple[tuple[str, str], ...]:
    return tuple((("user", "assistant")[place % 2], text) for place, text in enumerate(texts))
