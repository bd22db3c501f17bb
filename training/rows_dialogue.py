"""Conversations whose last turn depends on the turns before it, and disguises for any row.

A follow-up is labelled by what it asks for in the light of the conversation. A disguise never changes a
label: it is unrelated history, an order to the router, a voice or typing noise. The texts stand in
data/grammar/dialogue.yaml.
"""

import random
from collections.abc import Iterator

from training import grammar

Turns = list[tuple[str, str]]

TIMES = 4  # different sentences out of each line of follow-ups
OPENERS_PER_FOLLOW_UP = {"ENRICH": 3, "MODERATE": 3, "COMPLEX": 4}
GREETING: Turns = [("user", "hi"), ("assistant", "Hello! How can I help?")]

_TEXTS = grammar.read("dialogue")
_LISTS: grammar.Lists = _TEXTS["lists"]
_ORDERS, _OPENINGS, _CLOSINGS, _ANSWERS = (
    grammar.lines(_TEXTS[block]) for block in ("orders", "openings", "closings", "answers")
)


def follow_ups() -> Iterator[tuple[str, str, Turns]]:
    """(label, kind, turns) of conversations that end with a follow-up, the same every time."""
    rng = random.Random(_TEXTS["seed"])
    for subject, texts in _TEXTS["subjects"].items():
        openers = grammar.lines(texts["openers"])
        for label, block in texts["follow_ups"].items():
            for follow_up in grammar.sentences(block, _LISTS, rng, TIMES):
                for opener in rng.sample(openers, min(len(openers), OPENERS_PER_FOLLOW_UP[label])):
                    question, answer = grammar.expand(opener, _LISTS, rng).split(" | ", 1)
                    turns = [("user", question), ("assistant", answer), ("user", follow_up)]
                    if rng.random() < 0.3:
                        turns = [*GREETING, *turns]
                    yield label, f"follow-up-{subject}", turns


def disguised(turns: Turns, others: list[Turns], rng: random.Random) -> Turns:
    """The same request with a voice, an order to the router, typing noise, or after another conversation.

    others: the conversations of which one may stand before it.
    """
    role, text = turns[-1]
    before = turns[:-1]
    disguise = rng.random()
    if disguise < 0.25:
        text = f"{rng.choice(_OPENINGS)} {text}"
    elif disguise < 0.35:
        text = f"{text} {grammar.expand(rng.choice(_CLOSINGS), _LISTS, rng)}"
    elif disguise < 0.55:
        order = grammar.expand(rng.choice(_ORDERS), _LISTS, rng)
        text = rng.choice((f"{order} {text}", f"{text} {order}", f"{text}\n\n{order}"))
    elif disguise < 0.75:
        text = mistyped(text, rng)
    elif not before:
        other = rng.choice(others)
        answer = rng.choice(("Sure! ", "Here you go. ", "Of course. ", "")) + rng.choice(_ANSWERS)
        before = [*other, ("assistant", answer)]
    return [*before, (role, text)]


def mistyped(text: str, rng: random.Random) -> str:
    """All small or all big letters, no punctuation, and a swapped or lost letter here and there."""
    text = text.upper() if rng.random() < 0.12 else text.lower()
    if rng.random() < 0.7:
        text = text.rstrip("?.! ")
    letters = list(text)
    for position in range(len(letters) - 1):
        if letters[position].isalpha() and letters[position + 1].isalpha() and rng.random() < 0.02:
            if rng.random() < 0.5:
                letters[position], letters[position + 1] = letters[position + 1], letters[position]
            else:
                letters[position] = ""
    return "".join(letters)
