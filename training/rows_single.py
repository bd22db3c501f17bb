"""Rows of one turn, written by grammar: data/grammar/fresh.yaml, hard.yaml, everyday.yaml and languages.yaml.

What each file is for stands at its top. Labels follow from the block a line stands in.
"""

import random
from collections.abc import Iterator

from training import grammar

FILES = ("fresh", "hard", "everyday", "languages")
WISHES_PER_PASSAGE = 9

LabelledText = tuple[str, str, str]  # label, kind, text


def rows() -> Iterator[LabelledText]:
    """The rows of all FILES, the same every time."""
    for name in FILES:
        texts = grammar.read(name)
        rng = random.Random(texts["seed"])
        for block in texts["blocks"]:
            for text in grammar.sentences(block["lines"], texts["lists"], rng, block["times"]):
                yield block["label"], block["kind"], text
        if "long_easy" in texts:
            yield from _long_easy(**texts["long_easy"], rng=rng)


def _long_easy(passages: str, wishes: str, rng: random.Random) -> Iterator[LabelledText]:
    """Small wishes about much text; some passages are repeated to make them longer."""
    for text in grammar.lines(passages):
        for line in rng.sample(grammar.lines(wishes), WISHES_PER_PASSAGE):
            wish = grammar.expand(line, {}, rng)
            passage = text * rng.choice((1, 1, 2, 4))
            first, second = (wish, passage) if rng.random() < 0.6 else (passage, wish)
            yield "MODERATE", "long-easy", f"{first}\n\n{second}"
