"""A confusion matrix as a small SVG, written by hand.

A plotting library would be the heaviest thing in the repository, for one picture.
"""

from collections.abc import Sequence

CELL, LEFT, TOP = 110, 120, 60


def confusion(counts: Sequence[Sequence[int]], labels: Sequence[str], title: str) -> str:
    """An SVG of how rows of each label (down) were read (across), each cell shaded by its share of the row.

    counts: counts[true][read].
    """
    width, height = LEFT + CELL * len(labels) + 20, TOP + CELL * len(labels) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="14">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(LEFT, 22, title, 'font-weight="bold"'),
    ]
    for across, label in enumerate(labels):
        parts.append(_text(LEFT + CELL * (across + 0.5), TOP - 10, label, 'text-anchor="middle"'))
    for down, (label, row) in enumerate(zip(labels, counts, strict=True)):
        middle = TOP + CELL * (down + 0.5)
        parts.append(_text(LEFT - 10, middle + 5, label, 'text-anchor="end"'))
        for across, count in enumerate(row):
            left, top, share = LEFT + CELL * across, TOP + CELL * down, count / max(1, sum(row))
            right_or_wrong = "46,125,50" if across == down else "198,40,40"
            ink = f'text-anchor="middle" fill="{"white" if share > 0.5 else "black"}"'
            parts += [
                f'<rect x="{left}" y="{top}" width="{CELL}" height="{CELL}"'
                f' fill="rgba({right_or_wrong},{share:.3f})" stroke="#999"/>',
                _text(left + CELL / 2, middle, str(count), ink),
                _text(left + CELL / 2, middle + 20, f"{100 * share:.1f} %", f'{ink} font-size="12"'),
            ]
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x}" y="{y}" {attributes}>{text}</text>'
