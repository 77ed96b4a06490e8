"""The house rules that no other tool checks: direction of imports, one place for each strategy, small files."""

import ast
import re
import shutil
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from peftrec.config.folder import config_directory
from peftrec.settings.composition import compose_settings
from peftrec.settings.run_identity import run_code

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "peftrec"
SOURCES = sorted((REPOSITORY / "src").rglob("*.py"))
LONGEST_FILE = 300

GROUND = {"errors", "files", "processes", "devices"}
"""Modules at the package's root, and what each of them may import is in the plan as well."""

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": {"processes"},
    "processes": {"errors"},
    "devices": {"errors"},
    "code": set(),
    "config": {"code"},
    "outputs": set(),
    "progress": {"outputs"},
    "evaluation": set(),
    "data": {"config"},
    "data/tables": {"data"},
    "data/images": {"data", "data/tables"},
    "data/readers": {"config", "data", "data/tables", "data/images"},
    "data/datasets": {"config", "data", "data/tables", "data/readers"},
    "data/synthetic": {"config", "data"},
    "models/towers": {"data", "outputs"},
    "models": {"config", "data", "models/towers"},
    "models/side_networks": {"config", "models", "models/towers"},
    "models/peft": {"config", "models", "models/towers"},
    "models/user_encoders": {"models"},
    "models/objectives": set(),
    "towers": {"config", "data", "models/towers"},
    "strategies": {"config", "models", "models/towers", "models/side_networks", "models/peft"},
    "user_encoders": {"config", "models", "models/user_encoders"},
    "objectives": {"config", "data", "models/objectives"},
    "hidden_states": {"data", "models/towers", "progress"},
    "settings": {"code", "config", "data", "towers", "strategies", "user_encoders", "objectives"},
    "results": {"outputs"},
    "trackers": {"outputs", "results", "settings"},
    "dashboards": {"outputs", "results", "results/report", "settings", "trackers"},
    "results/report": {"code", "config", "outputs", "results", "settings"},
    "training": {"data", "models", "models/towers", "models/objectives", "evaluation", "settings", "progress"},
    "training/measurement": {
        *("data", "hidden_states", "models", "models/peft", "models/towers", "results", "training"),
    },
    "training/building": {
        *("code", "data", "models", "models/towers", "towers", "strategies", "hidden_states", "evaluation", "settings"),
        *("training", "training/measurement"),
    },
    "training/run": {
        *(
            "code",
            "config",
            "data",
            "data/readers",
            "models/towers",
            "towers",
            "evaluation",
            "hidden_states",
            "results",
            "settings",
            "trackers",
            "progress",
        ),
        *("training", "training/building", "training/measurement"),
    },
    "profiles": {"config"},
    "series": {"code", "config", "data", "models", "progress"},
    "cold_start": {
        *("code", "config", "data", "data/readers", "data/tables", "evaluation", "outputs", "results", "progress"),
        *("models", "models/towers", "settings", "training", "training/building", "training/run"),
    },
    "user_groups": {
        *("code", "config", "data", "evaluation", "profiles", "progress", "results", "serving"),
        *("settings", "training", "training/building", "training/run"),
    },
    "planning": {
        *("data", "models", "models/towers", "strategies", "towers", "hidden_states", "outputs", "results", "settings"),
        *("training", "training/building", "training/measurement"),
    },
    "serving": {
        *("data", "data/images", "data/readers", "data/tables", "models", "models/peft", "models/towers", "towers"),
        *("cold_start", "profiles", "outputs"),
        *("results", "settings", "progress", "training", "training/building", "training/run"),
    },
    "serving/http": {"data", "evaluation", "models/towers", "outputs", "serving", "training", "user_groups"},
    "api": {"code", "config", "results", "results/report", "serving", "settings", "jobs"},
    "tiny_towers": {"data", "data/synthetic", "models", "models/towers"},
    "jobs": {"outputs", "code", "config", "hidden_states", "results", "settings", "trackers", "training/run"},
    "paper_tables": {"config", "results"},
    "doctor": {"outputs"},
    "tuning": {
        *("config", "data", "models/towers", "evaluation", "results", "results/report", "settings", "jobs", "planning"),
        *("code", "dashboards", "measuring", "outputs", "trackers"),
        *("training/building", "training/run"),
    },
    "measuring": {
        *("code", "data", "hidden_states", "jobs", "progress", "results", "settings"),
        *("training", "training/building", "training/measurement", "training/run"),
    },
    "testing": {
        *("code", "config", "data", "data/readers", "models", "models/towers", "models/objectives", "towers"),
        *("strategies", "user_encoders", "objectives", "settings", "planning"),
        *("training", "training/building", "training/measurement"),
    },
}
"""Room to the rooms that it may import besides itself and GROUND; the command line above them all may import any."""

SHARED = {"__init__", "base", "adapted_blocks", "beside_states"}
"""Modules of `strategies/` that are no strategy: what several of them have in common."""
TOP = {"cli", "__main__", "__init__"}
"""`__init__` names the Python API, and imports it when it is asked for."""
MOST_ROOT_MODULES = 6
MOST_FILES_OF_SETTINGS = 20


def imports(path: Path) -> tuple[str, ...]:
    """Return the dotted names that a file imports, wherever in it."""
    return imported_names(path.read_text())


@cache
def imported_names(source: str) -> tuple[str, ...]:
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import of {node.module}"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(names)


def test_text_is_utf_8_whatever_the_users_locale() -> None:
    """Names of users, items and folders are in any script."""
    unsaid = [
        f"{path.relative_to(PACKAGE.parent)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) in ("read_text", "write_text")
        if "encoding" not in {keyword.arg for keyword in node.keywords}
    ]
    assert unsaid == []


def top_of(module: str) -> str:
    return module.partition(".")[0]


def own_imports(path: Path) -> set[tuple[str, ...]]:
    return {tuple(name.split(".")[1:]) for name in imports(path) if name.split(".")[0] == "peftrec"}


def strategy_files() -> list[Path]:
    return [path for path in sorted((PACKAGE / "strategies").glob("*.py")) if path.stem not in SHARED]


def strategy_names() -> list[str]:
    folder = config_directory() / "strategy"
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def room_of(path: Path, package: Path = PACKAGE) -> str:
    """Return the folder of a module, or the name of one at the root."""
    folder = path.relative_to(package).parent.as_posix()
    return path.stem if folder == "." else folder


def imported_files(path: Path, package: Path = PACKAGE) -> set[Path]:
    """Return the modules of the package that a file imports, wherever in it; `from folder import module` is one."""
    found = set()
    for name in own_imports(path):
        for parts in (name, name[:-1]):
            module = package.joinpath(*parts)
            if parts and module.with_suffix(".py").is_file():
                found.add(module.with_suffix(".py"))
                break
    return found - {path}


def wrong_imports(package: Path = PACKAGE) -> set[str]:
    """Return what imports a room that the plan does not let it."""
    return {
        f"{path.relative_to(package)} imports {other.relative_to(package)}"
        for path in package.rglob("*.py")
        if (room := room_of(path, package)) not in TOP
        for other in imported_files(path, package)
        if room_of(other, package) not in {*MAY_IMPORT[room], *(GROUND - {room} if room not in GROUND else ()), room}
    }


def circle(package: Path = PACKAGE) -> list[str]:
    """Return modules that import each other in a circle, empty where there is none."""
    graph = {path: imported_files(path, package) for path in package.rglob("*.py")}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return [path.relative_to(package).as_posix() for path in error.args[1]]
    return []


def test_every_room_is_on_the_plan() -> None:
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent == PACKAGE}
    assert rooms == {*MAY_IMPORT, *TOP}


def test_the_plan_runs_one_way() -> None:
    list(TopologicalSorter(MAY_IMPORT).static_order())  # raises where rooms may import each other in a circle


def test_the_root_holds_few_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_ROOT_MODULES


def test_imports_run_one_way() -> None:
    assert not wrong_imports()


def test_the_contract_tests_are_imported_by_nobody() -> None:
    """pytest, which they need, is no package that a run needs; and no law is part of a run's code."""
    tests = [path for path in PACKAGE.rglob("*.py") if room_of(path) == "testing"]
    others = [path for path in SOURCES if path not in tests]
    assert tests
    assert not [path for path in others if imported_files(path) & set(tests) or "pytest" in map(top_of, imports(path))]
    assert not [module for module in run_code(compose_settings([])).modules if module.startswith("peftrec.testing")]


def test_no_modules_import_each_other() -> None:
    assert not circle()


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("errors.py", "from peftrec.files import write_atomically"),  # a root module
        ("models/recommender.py", "from peftrec.models.side_networks import side_blocks"),  # a sub-room
        ("results/tables.py", "def late():\n    from peftrec.training.module import RecommenderModule"),
        ("data/items.py", "if TYPE_CHECKING:\n    import peftrec.cli.main"),
    ],
)
def test_an_import_that_runs_up_is_found(file: str, line: str, tmp_path: Path) -> None:
    package = shutil.copytree(
        PACKAGE, tmp_path / "peftrec", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors")
    )
    with (package / file).open("a") as stream:
        stream.write(f"\n{line}\n")
    (wrong,) = wrong_imports(package)
    assert wrong.startswith(f"{file} imports ")


def test_a_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("from peftrec import two")
    (tmp_path / "two.py").write_text("def late():\n    from peftrec.one import name")
    assert set(circle(tmp_path)) == {"one.py", "two.py"}


def test_no_strategy_imports_another() -> None:
    for path in strategy_files():
        others = {name[1] for name in own_imports(path) if name[:1] == ("strategies",) and len(name) > 1}
        assert others <= SHARED, path


def test_no_other_file_imports_a_strategy() -> None:
    modules = {path.stem for path in strategy_files()}
    for path in SOURCES:
        imported = {name[1] for name in own_imports(path) if name[:1] == ("strategies",) and len(name) > 1}
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


def test_a_runs_settings_pass_through_few_files() -> None:
    """From a job's configuration to its record: every other stage gets the part of the settings that it needs."""
    rooms = ("jobs", "settings", "training")
    through = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if room_of(path).split("/")[0] in rooms and takes_settings(path)
    ]
    assert "training/run/pipeline.py" in through
    assert len(through) <= MOST_FILES_OF_SETTINGS, through


def takes_settings(path: Path) -> bool:
    """Say whether a file has a function, or a field, for the whole settings of a run."""
    annotated = [
        node.annotation
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None
    ]
    return any(ast.unparse(each).strip("'") == "Settings" for each in annotated)


def test_files_are_small() -> None:
    long = [path for path in SOURCES if len(path.read_text().splitlines()) > LONGEST_FILE]
    assert not long


def test_no_file_names_a_place_of_one_machine() -> None:
    texts = [*SOURCES, *(REPOSITORY / "conf").rglob("*.yaml"), *REPOSITORY.glob("*.md"), REPOSITORY / "Makefile"]
    place = re.compile(r"(?<![\w.}])/(home|root|work|mnt|Users|data)/\w")
    wrong = [f"{path.name}: {found.group()}" for path in texts for found in place.finditer(path.read_text())]
    assert not wrong


def test_modules_are_named_for_what_they_hold() -> None:
    vague = {"utils", "util", "helpers", "common", "components", "misc"}
    assert not [path for path in SOURCES if path.stem in vague or path.parent.name in vague]
