"""Strict parts from plain nodes: what is refused, in which words, and the way back."""

from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic.dataclasses import dataclass

from peftrec.code.user_code import open_door
from peftrec.config.fields import Later
from peftrec.config.instantiate import build_part, describe_part, with_defaults
from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from small_parts import Frame, Picture, Rectangle

RECTANGLE = {"_target_": "small_parts.Rectangle"}


@pytest.fixture(autouse=True)
def _open_door() -> Iterator[None]:
    open_door(code=[str(Path(__file__).parents[1])])
    yield
    open_door()


def picture(**changes: Any) -> dict[str, Any]:
    return {"shape": RECTANGLE, "frame": {"width": 2}, "path": "here", **changes}


def test_defaults_and_nested_parts() -> None:
    node = picture(shape={**RECTANGLE, "sides": [3, 4]}, frame={"width": 1.5, "inner": RECTANGLE}, tags={"a": 1})
    built = build_part(Picture, node)
    assert built == Picture(
        shape=Rectangle(sides=(3, 4)), frame=Frame(width=1.5, inner=Rectangle()), path="here", tags={"a": 1}
    )


def test_round_trip_holds_defaults() -> None:
    built = build_part(Picture, picture(frame={"width": 1, "inner": RECTANGLE}))
    node = describe_part(built, Picture)
    assert node["shape"] == {**RECTANGLE, "sides": [1, 2], "name": None}
    assert node["count"] == 3
    assert build_part(Picture, node) == built
    assert describe_part(build_part(Picture, node), Picture) == node


def test_defaults_are_known_without_building_anything() -> None:
    node = picture(frame={"width": 1, "inner": RECTANGLE})
    assert with_defaults((Picture,), node) == describe_part(build_part(Picture, node), Picture)
    missing = {**node, "path": "???", "count": "no number"}
    assert with_defaults((Picture,), missing) == with_defaults((Picture,), node) | {"path": "???", "count": "no number"}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Grown:
    """A part that has a key which it had not."""

    size: int = 1
    names: Annotated[dict[str, int], Later()] = field(default_factory=dict)


@pytest.mark.parametrize(("node", "said"), [({}, {}), ({"names": {}}, {}), ({"names": {"a": 1}}, {"names": {"a": 1}})])
def test_a_key_that_came_later_is_said_where_it_is_not_as_it_was(node: dict[str, Any], said: dict[str, Any]) -> None:
    assert describe_part(build_part(Grown, node), Grown) == {"size": 1, **said}
    assert with_defaults((Grown,), node) == {"size": 1, **said}
    assert build_part(Grown, said) == build_part(Grown, node)


def refusal(**changes: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        build_part(Picture, picture(**changes))
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": "abc"}, 'count: expected an integer, got "abc"'),
        ({"count": "8"}, 'count: expected an integer, got "8"'),
        ({"count": 8.0}, "count: expected an integer, got 8.0"),
        ({"count": True}, "count: expected an integer, got true"),
        ({"count": None}, "count: expected an integer, got null"),
        ({"count": 2**63}, "count: expected a number that a record can hold, got 9223372036854775808"),
        ({"tags": {"a": -(2**63)}}, 'tags: expected a number that a record can hold, got {"a": -9223372036854775808}'),
        ({"frame": {"width": float("inf")}}, "frame.width: expected a number that a record can hold, got Infinity"),
        ({"has_glass": 1}, "has_glass: expected true or false, got 1"),
        ({"path": 5}, "path: expected text, got 5"),
        ({"frame": {"width": "wide"}}, 'frame.width: expected a number, got "wide"'),
        ({"frame": {"width": 0}}, "frame.width: expected a value greater than 0, got 0"),
        (
            {"frame": {"width": 1, "style": "cared"}},
            'frame.style: expected one of plain, carved, got "cared"; did you mean carved?',
        ),
        ({"frame": {"width": 1, "style": "gilt"}}, 'frame.style: expected one of plain, carved, got "gilt"'),
        ({"frame": {"width": 1, "style": 5}}, "frame.style: expected one of plain, carved, got 5"),
        ({"shape": {**RECTANGLE, "sides": 3}}, "shape.sides: expected a list, got 3"),
        ({"shape": {**RECTANGLE, "sides": [1, 2, "b"]}}, 'shape.sides.2: expected an integer, got "b"'),
        ({"shape": {**RECTANGLE, "sides": [2, 2]}}, "shape: sides are equal; name it a square"),
        ({"frame": 5}, "frame: expected a group of keys (frame.width, frame.style, frame.inner), got 5"),
        ({"path": "???"}, "path is required: set path=PATH"),
        ({"frame": {}}, "frame.width is required: set frame.width=VALUE"),
        ({"shape": {}}, "shape._target_ is required: name a class derived from small_parts.Shape"),
    ],
)
def test_wrong_values(changes: dict[str, Any], message: str) -> None:
    assert refusal(**changes) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cout": 3}, "unknown key cout; did you mean count?"),
        ({"fram": {"width": 3}}, "unknown key fram.width; did you mean frame.width?"),
        ({"frame": {"width": 3, "stile": "plain"}}, "unknown key frame.stile; did you mean frame.style?"),
        ({"frame": {"width": 3, "zzz": 1}}, "unknown key frame.zzz; the keys of frame are width, style, inner"),
        ({"sides": [1]}, "unknown key sides; did you mean shape.sides?"),
        (
            {"shape": {**RECTANGLE, "corners": {"left": 1}}},
            "unknown key shape.corners.left; the keys of shape are sides, name",
        ),
    ],
)
def test_unknown_keys_name_the_nearest(changes: dict[str, Any], message: str) -> None:
    assert refusal(**changes) == message


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("peftrec.nowhere.Thing", "shape._target_: cannot import"),
        (5, "shape._target_: 5 is no class of peftrec"),
        ("collections.OrderedDict", "shape._target_: collections.OrderedDict is no class of peftrec"),
        ("small_runs.small_config", "shape._target_: expected a class derived from small_parts.Shape, got"),
        ("small_parts.Shape", "is abstract"),
        ("small_parts.Undecorated", "lacks the decorator"),
    ],
)
def test_targets_must_fit_the_field(target: object, message: str) -> None:
    assert message in refusal(shape={"_target_": target})


def test_all_missing_values_at_once() -> None:
    assert refusal(path="???", frame={"width": "???"}).splitlines() == [
        "frame.width is required: set frame.width=VALUE",
        "path is required: set path=PATH",
    ]


def test_all_wrong_values_at_once() -> None:
    assert refusal(count="three", frame={"width": "wide"}).splitlines() == [
        'frame.width: expected a number, got "wide"',
        'count: expected an integer, got "three"',
    ]


def test_code_that_python_cannot_read_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "unreadable_of_test.py").write_text("X = 1\ndef (\n")
    open_door(code=[str(tmp_path)])
    with pytest.raises(SettingsError, match=r"unreadable_of_test\.py:2: invalid syntax; Python cannot read it"):
        build_part(Picture, picture(shape={"_target_": "unreadable_of_test.Shape"}))
