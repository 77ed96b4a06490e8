"""What a measurement found, for a terminal."""

from collections.abc import Sequence
from pathlib import Path

from peftrec.results.side_by_side import SideBySide


def summary(folder: Path, parts: Sequence[SideBySide]) -> str:
    """Return a line a run, the quickest first: its step, and its ratio to the geometric mean of all."""
    names = parts[0].members
    width = max(map(len, names))
    lines = [f"{'run':<{width}}  {'a step':>10}  ratio, 95 % interval, {len(parts[0].rounds)} rounds"]
    for name, part in sorted(zip(names, parts, strict=True), key=lambda pair: pair[1].ratio):
        interval = f"{part.ratio:.3f}, {part.ratio_low:.3f} to {part.ratio_high:.3f}"
        lines.append(f"{name:<{width}}  {1000 * part.seconds_per_step:>7.1f} ms  {interval}")
    lines.append(f"written into the records below {folder}; peftrec report {folder} takes these costs")
    return "\n".join(lines) + "\n"
