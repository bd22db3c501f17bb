"""Texts that are handed over to be translated, summarised, corrected: whatever they speak of, the wish is an easy one, MODERATE.

The texts are other rows, hard problems and questions about today among them, and so every row here is a contrast to those: neither their words nor their
length decide, only what is wanted of them.
"""

import random
from collections.abc import Iterator, Sequence

from training.grammar import lines

BEFORE = lines("""
Translate into German:
translate this to spanish please:
Translate the following message into French, keep the formatting.
Summarise this in two sentences:
tl;dr?
give me the gist of this:
Summarize the text below in three bullet points.
Proofread this, only spelling and commas:
fix the grammar:
Correct the typos in this mail and change nothing else.
make this sound more polite:
Rewrite this so a ten-year-old understands what is being asked:
Rephrase in plain English, don't answer it:
turn this into a formal letter:
What language is this written in?
count the sentences in this:
Give this a title of at most six words:
Which topic tags would you file this ticket under?
Extract all names and numbers from this text:
Is the tone of this rude?
Shorten to under 200 characters:
Put this into a table, one row per point:
Reply to this message with a polite no:
My colleague sent me this. Write back that I'll look at it next week.
which subject is this from, maths, physics or computing? one word
Übersetze das ins Englische:
Fass das bitte in zwei Sätzen zusammen:
Corrige les fautes, s'il te plaît :
Résume ce texte en une phrase :
Traduce esto al inglés:
Resume esto en una frase:
Riassumi in due righe:
Resuma em uma frase:
Vat dit samen in één zin:
Streść to w dwóch zdaniach:
Переведи на английский:
Кратко перескажи:
把下面的内容翻译成英文：
用一句话总结：
次の文章を英語に訳してください：
다음 글을 한 문장으로 요약해 줘:
bunu ingilizceye çevir:
لخص هذا في جملة واحدة:
इसे अंग्रेज़ी में अनुवाद करो:
""")
BEHIND = lines("""
translate the above into English
^ summarise please
could you put that in simpler words? no need to solve it
just check the spelling of this
what's a good subject line for this mail?
please turn that into bullet points
who should I forward this to, sales, support or engineering?
short polite reply saying thanks, we'll get back to them
in einem Satz zusammenfassen bitte
résume en deux lignes
tradúcelo al inglés
переведи это на английский
帮我润色一下
これを短くして
""")
ROWS, MOST_TEXTS = 260, 4


def rows(texts: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(label, kind, text) for ROWS wishes about one to MOST_TEXTS of the texts, run together as a paste."""
    rng = random.Random(21)
    for _ in range(ROWS):
        paste = rng.choice(("\n", "\n\n", " ")).join(rng.sample(list(texts), rng.randint(1, MOST_TEXTS)))
        if rng.random() < 0.25:
            paste = f'"{paste}"'
        wish = (
            f"{rng.choice(BEFORE)}{rng.choice((' ', chr(10), chr(10) * 2))}{paste}"
            if rng.random() < 0.7
            else f"{paste}\n\n{rng.choice(BEHIND)}"
        )
        yield "MODERATE", "pasted", wish
