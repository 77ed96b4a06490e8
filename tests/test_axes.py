"""The page of axes says what every axis of a shape annotation means, and nothing more."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ANNOTATION = re.compile(r'\b(?:Float|Int8|Int|UInt8|Bool|Shaped)\[[\w.]+,\s*"([^"]+)"\]')


def axes_in_use() -> set[str]:
    shapes = (shape for path in (REPOSITORY / "src").rglob("*.py") for shape in ANNOTATION.findall(path.read_text()))
    names = {axis.lstrip("*#") for shape in shapes for axis in shape.split()}
    return {name for name in names if name.isidentifier()}  # a number or `...` needs no meaning


def test_every_axis_has_its_meaning() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", (REPOSITORY / "docs" / "axes.md").read_text(), re.MULTILINE)
    assert axes_in_use() == set(explained)
    assert explained == sorted(explained)
