"""The rows that the classifier is trained and judged on.

They come from the pool, from the grammar, from the separate authors, and from the files that only judge;
labels are explained in data/README.md. META rows of the pool are left out: META is found by rules and never
by the model.
"""

import gzip
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training import rows_dialogue, rows_pasted, rows_single
from wire import JsonObject

DATA_DIR = Path(__file__).resolve().parent / "data"

WRITTEN = "written"
AUTHORS = ("hard", "everyday", "fresh", "languages", "lookalikes")
STRANGERS = "stranger_test"  # by an author who saw none of the rows that are trained on
SEED = 1
ROWS_PER_SOURCE_AND_LABEL = 220  # more of one manner adds time and no accuracy
REPEATED_PER_SOURCE_AND_LABEL, REPEATED_OF_WRITTEN = 80, 0.08  # of what the second step reads once more
# The second step reads all COMPLEX rows of these, as no author draws that border as they do.
HARD_BY_SOURCE = ("arena-hard-v2", "olympiadbench", "wildchat-hard-ru")
REST_PER_SOURCE_AND_LABEL = 40
DISGUISED_OF_WRITTEN, DISGUISED_OF_POOL = 0.6, 0.15


Turns = tuple[tuple[str, str], ...]  # (role, text) each; the user's comes last


@dataclass(frozen=True)
class Row:
    """One request with its label, where it comes from and what it stands for."""

    label: str
    source: str
    kind: str
    turns: Turns
    language: str = ""  # empty where nobody noted it


def pool(*, doubtful: bool = False) -> list[Row]:
    """The imported and templated rows of data/pool.jsonl.gz without META.

    doubtful: with those that data/doubtful.txt lists.
    """
    left_out = set() if doubtful else set((DATA_DIR / "doubtful.txt").read_text().splitlines())
    with gzip.open(DATA_DIR / "pool.jsonl.gz", "rt", encoding="utf-8") as file:
        stored = [json.loads(line) for line in file]
    return [
        Row(row["label"], row["source"].split(":")[0], row["source"], _turns(row))
        for row in stored
        if row["label"] != "META" and row["id"] not in left_out
    ]


def _turns(row: JsonObject) -> Turns:
    if "text" in row:
        return (("user", row["text"]),)
    return tuple((message["role"], message["content"]) for message in row["messages"])


def by_author(name: str) -> list[Row]:
    """The rows that one of AUTHORS, or STRANGERS, wrote by hand."""
    with (DATA_DIR / "authors" / f"{name}.jsonl").open(encoding="utf-8") as file:
        stored = [json.loads(line) for line in file]
    return [Row(row["label"], name, row["kind"], _turns(row), row["lang"]) for row in stored]


def written() -> list[Row]:
    """The rows written by grammar, each once."""
    rows = [Row(label, WRITTEN, kind, (("user", text),)) for label, kind, text in rows_single.rows()]
    rows += [Row(label, WRITTEN, kind, tuple(turns)) for label, kind, turns in rows_dialogue.follow_ups()]
    return list({row.turns: row for row in rows}.values())


def disguised(rows: list[Row], seed: int) -> list[Row]:
    """A share of the rows once more, labels kept, as `rows_dialogue.disguised` changes them."""
    rng = random.Random(seed)
    others = [list(row.turns) for row in rows if sum(len(text) for _, text in row.turns) < 600]
    copies = []
    for row in rows:
        share = DISGUISED_OF_WRITTEN if row.source == WRITTEN else DISGUISED_OF_POOL
        if rng.random() < share:
            turns = rows_dialogue.disguised(list(row.turns), others, rng)
            copies.append(Row(row.label, row.source, row.kind, tuple(turns)))
    return copies


def sample(rows: list[Row], limit: int) -> list[Row]:
    """At most `limit` rows of each source and label, drawn the same way every time."""
    drawn, kept = list(rows), []
    random.Random(SEED).shuffle(drawn)
    taken: Counter[tuple[str, str]] = Counter()
    for row in drawn:
        taken[row.source, row.label] += 1
        if taken[row.source, row.label] <= limit:
            kept.append(row)
    return kept


def first_step() -> list[Row]:
    """What is read first, for breadth: the pool evened out, the written rows, disguised copies of both."""
    rows = sample(pool(), ROWS_PER_SOURCE_AND_LABEL) + written()
    return rows + disguised(rows, SEED)


def second_step(authors: Sequence[str] = AUTHORS) -> list[Row]:
    """What is read last and so remembered best: the authors' rows.

    Some of the first step's are among them, so that those are not forgotten.
    """
    by_hand = [row for name in authors for row in by_author(name)]
    imported = [row for row in sample(pool(), ROWS_PER_SOURCE_AND_LABEL) if not _is_templated(row)]
    all_written = written()
    grammatical = random.Random(SEED).sample(all_written, round(REPEATED_OF_WRITTEN * len(all_written)))
    texts = [row.turns[0][1] for row in by_hand if len(row.turns) == 1]
    pasted = [Row(label, WRITTEN, kind, (("user", text),)) for label, kind, text in rows_pasted.rows(texts)]
    repeated = sample(imported, REPEATED_PER_SOURCE_AND_LABEL)
    hard = [row for row in imported if row.source in HARD_BY_SOURCE and row.label == "COMPLEX"]
    repeated += [row for row in hard if row not in repeated]
    return by_hand + repeated + grammatical + pasted


def rest_of_pool() -> list[Row]:
    """Imported rows that are never trained on, doubtful ones included.

    At most REST_PER_SOURCE_AND_LABEL of what was not drawn from each source.
    """
    drawn = {row.turns for row in sample(pool(), ROWS_PER_SOURCE_AND_LABEL)}
    rest = [row for row in pool(doubtful=True) if row.turns not in drawn and not _is_templated(row)]
    return sample(rest, REST_PER_SOURCE_AND_LABEL)


def _is_templated(row: Row) -> bool:
    return row.source.startswith("template")


def by_hand(name: str) -> list[Row]:
    """The project's own test rows of data/<name>.txt, `development` or `held_out`.

    Their kind is the slice they stand for.
    """
    rows = []
    for line in (DATA_DIR / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            label, kind, conversation = line.split("\t")
            texts = conversation.replace("\\n", "\n").split(" || ")
            rows.append(Row(label, name, kind, _alternating(texts), "other" if kind == "languages" else "en"))
    return rows


def _alternating(texts: list[str]) -> Turns:
    return tuple((("user", "assistant")[place % 2], text) for place, text in enumerate(texts))
