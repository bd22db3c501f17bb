"""Rows in which a text is handed over to be translated, summarised or corrected.

Whatever the text is about, the wish is an easy one: MODERATE. The texts are other rows, hard problems and
questions about today among them. So every row here is a contrast to those: neither their words nor their
length decide, only what is wanted of them.
"""

import random
from collections.abc import Iterator, Sequence

from training import grammar

ROWS, MOST_TEXTS = 260, 4


def rows(texts: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(label, kind, text) for ROWS wishes about one to MOST_TEXTS of the texts, run together as a paste."""
    wishes = grammar.read("pasted")
    before, behind = grammar.lines(wishes["before"]), grammar.lines(wishes["behind"])
    rng = random.Random(wishes["seed"])
    for _ in range(ROWS):
        paste = rng.choice(("\n", "\n\n", " ")).join(rng.sample(list(texts), rng.randint(1, MOST_TEXTS)))
        if rng.random() < 0.25:
            paste = f'"{paste}"'
        if rng.random() < 0.7:
            text = rng.choice(before) + rng.choice((" ", "\n", "\n\n")) + paste
        else:
            text = f"{paste}\n\n{rng.choice(behind)}"
        yield "MODERATE", "pasted", text
