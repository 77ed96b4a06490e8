"""The house rules that no other tool checks: direction of imports, one place for each strategy, small files."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from peftrec.configuration import config_directory

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "peftrec"
SOURCES = sorted((REPOSITORY / "src").rglob("*.py"))
LONGEST_FILE = 250

SHARED = {
    "axes",
    "decisive",
    "epoch_count",
    "errors",
    "files",
    "processes",
    "strict",
    "terminal",
    "validation_messages",
    "words",
}
"""Modules at the package's root that every room may import."""

MAY_IMPORT = {
    "data": set[str](),
    "models": {"data"},
    "strategies": {"data", "models"},
    "hidden_states": {"data", "models", "strategies"},
    "evaluation": set[str](),
    "results": set[str](),
    "training": {"data", "models", "strategies", "hidden_states", "evaluation", "results", "settings"},
    "profiles": set[str](),
    "cold_start": {"data", "models", "evaluation", "results", "training", "settings"},
    "series": {"models"},
    "serving": {"data", "models", "evaluation", "profiles", "cold_start", "training", "results", "settings"},
    "planning": {"data", "models", "hidden_states", "training", "results", "settings"},
    "tiny_towers": {"data", "models"},
}
"""Room to the rooms and modules it may import besides itself and SHARED. Verbs, at the root, may import all."""


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[tuple[str, ...]]:
    return {tuple(name.split(".")[1:]) for name in imports(path) if name.split(".")[0] == "peftrec"}


def strategy_files() -> list[Path]:
    return [path for path in sorted((PACKAGE / "strategies").glob("*.py")) if path.stem not in ("__init__", "base")]


def strategy_names() -> list[str]:
    folder = config_directory() / "strategy"
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def test_every_room_is_on_the_plan() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    assert rooms <= set(MAY_IMPORT)


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_run_one_way(room: str) -> None:
    allowed = MAY_IMPORT[room] | SHARED | {room, "__version__"}
    wrong = {
        f"{path.relative_to(PACKAGE)} imports peftrec.{'.'.join(name)}"
        for path in (PACKAGE / room).rglob("*.py")
        for name in own_imports(path)
        if name[0] not in allowed
    }
    assert not wrong


def test_no_strategy_imports_another() -> None:
    for path in strategy_files():
        others = {name[1] for name in own_imports(path) if name[0] == "strategies" and len(name) > 1}
        assert others <= {"base"}, path


def test_no_other_file_imports_a_strategy() -> None:
    modules = {path.stem for path in strategy_files()}
    for path in SOURCES:
        imported = {name[1] for name in own_imports(path) if name[0] == "strategies" and len(name) > 1}
        assert not imported & modules, path


def test_nothing_branches_on_a_strategys_name() -> None:
    names = set(strategy_names())
    assert names
    wrong = [
        f"{path.relative_to(REPOSITORY)}:{constant.lineno}: {constant.value!r}"
        for path in SOURCES
        if path not in strategy_files()
        for constant in compared_constants(path)
        if constant.value in names
    ]
    assert not wrong


def compared_constants(path: Path) -> Iterator[ast.Constant]:
    """Yield the constants that a file compares with or matches against."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare | ast.match_case):
            parts = [node.left, *node.comparators] if isinstance(node, ast.Compare) else [node.pattern]
            for part in parts:
                yield from (inner for inner in ast.walk(part) if isinstance(inner, ast.Constant))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(REPOSITORY / "src").as_posix())
def test_files_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


def test_no_file_names_a_place_of_one_machine() -> None:
    texts = [*SOURCES, *(REPOSITORY / "conf").rglob("*.yaml"), *REPOSITORY.glob("*.md"), REPOSITORY / "Makefile"]
    place = re.compile(r"(?<![\w.}])/(home|root|work|mnt|Users|data)/\w")
    wrong = [f"{path.name}: {found.group()}" for path in texts for found in place.finditer(path.read_text())]
    assert not wrong


def test_modules_are_named_for_what_they_hold() -> None:
    vague = {"utils", "util", "helpers", "common", "components", "misc"}
    assert not [path for path in SOURCES if path.stem in vague or path.parent.name in vague]
