"""A confusion matrix as a small SVG, written by hand: a plotting library would be the heaviest thing in the repository for one picture."""

from collections.abc import Sequence

CELL, LEFT, TOP = 110, 120, 60


def confusion(counts: Sequence[Sequence[int]], labels: Sequence[str], title: str) -> str:
    """An SVG of how rows of each label (down) were read (across): numbers, and a shade by their share of the row. counts[true][read]."""
    width, height = LEFT + CELL * len(labels) + 20, TOP + CELL * len(labels) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="14">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-weight="bold">{title}</text>',
    ]
    for across, label in enumerate(labels):
        parts.append(
            f'<text x="{LEFT + CELL * (across + 0.5)}" y="{TOP - 10}" text-anchor="middle">{label}</text>'
        )
    for down, (label, row) in enumerate(zip(labels, counts, strict=True)):
        middle = TOP + CELL * (down + 0.5)
        parts.append(f'<text x="{LEFT - 10}" y="{middle + 5}" text-anchor="end">{label}</text>')
        for across, count in enumerate(row):
            share = count / max(1, sum(row))
            hue = "46,125,50" if across == down else "198,40,40"
            left, ink = LEFT + CELL * across, "white" if share > 0.5 else "black"
            parts.append(
                f'<rect x="{left}" y="{TOP + CELL * down}" width="{CELL}" height="{CELL}" fill="rgba({hue},{share:.3f})" stroke="#999"/>'
            )
            parts.append(
                f'<text x="{left + CELL / 2}" y="{middle}" text-anchor="middle" fill="{ink}">{count}</text>'
            )
            parts.append(
                f'<text x="{left + CELL / 2}" y="{middle + 20}" text-anchor="middle" fill="{ink}" font-size="12">{100 * share:.1f} %</text>'
            )
    return "\n".join([*parts, "</svg>", ""])
