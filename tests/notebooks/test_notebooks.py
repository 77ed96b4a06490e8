"""The notebooks: they use the Python API alone, hold no outputs, and every cell runs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbformat import NotebookNode
from traitlets.config import Config

import peftrec
from peftrec.code.user_code import open_door

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
SHOWN = {
    "compare_strategies": ["val/hr@10", "SVG object", "index.html", "verdict"],
    "from_run_to_service": ["item_embeddings.npy", "new-1", "README.md"],
    "what_tpme_says": ["compares at least two strategies", "time alone", "with the store"],
    "your_own_data": ["'red-lamp'", "blue-desk", "num_training_sequences"],
    "your_own_strategy": ["no such option", "greater than or equal to 1", "last_blocks-"],
}
"""What must be seen of each, besides that no cell fails."""


def cells_of(name: str) -> list[NotebookNode]:
    cells: list[NotebookNode] = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
    return cells


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_holds_no_outputs_and_begins_with_its_title(name: str) -> None:
    first, *cells = cells_of(name)
    assert first.source.startswith("# ")
    for cell in cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_imports_of_this_package_what_the_api_names(name: str) -> None:
    code = "\n".join(cell.source for cell in cells_of(name) if cell.cell_type == "code")
    imported = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    own = [node for node in imported if "peftrec" in ast.unparse(node)]
    assert own
    for node in own:
        assert isinstance(node, ast.ImportFrom)
        assert node.module == "peftrec"
        assert {alias.name for alias in node.names} <= set(peftrec.__all__)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    """A kernel's shell in this process, which has imported what the notebooks import."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("peftrec.training.measurement.repeated.BUDGET_SECONDS", 0.01)
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    yield shell
    InteractiveShell.clear_instance()
    open_door()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_cell_runs(name: str, shell: InteractiveShell) -> None:
    """`make notebook` runs them in kernels of their own."""
    with capture_output() as captured:
        for cell in cells_of(name):
            if cell.cell_type == "code":
                shell.run_cell(cell.source).raise_error()
    shown = captured.stdout + str([output.data for output in captured.outputs])
    assert not [text for text in SHOWN[name] if text not in shown]
