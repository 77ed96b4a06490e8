"""Options, offline guards and shared places of the test suite."""

import ast
import gc
import os
import signal
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import jaxtyping
import pytest

from servers import ENVIRONMENT, job_server

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src"
SHARED = REPOSITORY / ".." / "shared"
"""Real data and outputs of the published code, beside the checkout where they are at hand."""

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


# jaxtyping keeps the code that it rewrote in files of another name, and while it imports a module it looks for
# everything that this module imports under such a name: torch and all that torch needs were compiled anew in each run.
_of_rewritten_code = jaxtyping._import_hook._optimized_cache_from_source


class _CheckedShapes(jaxtyping._import_hook.JaxtypingTransformer):
    """Checks what is annotated, but of functions inside functions, which it would wrap anew in each call of the outer
    one (a hook at each block, in every step), those alone that say shapes."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:  # noqa: N802 - the visitor's name
        is_inner = any(isinstance(parent, ast.FunctionDef) for parent in self._parents)
        return node if is_inner and not _says_shapes(node) else super().visit_FunctionDef(node)


def _says_shapes(node: ast.FunctionDef) -> bool:
    names = {
        part.value.id for part in ast.walk(node) if isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name)
    }
    return any(hasattr(jaxtyping, name) for name in names)


def _compiled_file(typechecker: str, /, path: Any, debug_override: Any = None) -> str:
    if SOURCE in Path(path).parents:
        return str(_of_rewritten_code(f"{typechecker}shapes", path, debug_override))
    return cache_from_source(path, debug_override)


jaxtyping._import_hook.JaxtypingTransformer = _CheckedShapes
jaxtyping._import_hook._optimized_cache_from_source = _compiled_file

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell starts background jobs that way, children inherit it, and no test of an interruption could pass.
    signal.signal(signal.SIGINT, signal.default_int_handler)


gc.disable()  # until all is imported: nothing of it is garbage, and a search looks at all of it


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-dir",
        action="append",
        metavar="DIR",
        help="folder of safetensors files with outputs of the published code; may be given more than once "
        "(default: those of ../shared that exist)",
    )
    parser.addoption(
        "--published", metavar="PATH", help="checkout of the published code, for the test of the comparison with it"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the usual parity folders where the command names none; remember what tests find."""
    ENVIRONMENT.update(os.environ)
    if config.option.parity_dir is None:
        usual = (SHARED / name for name in ("parity", "parity_versa"))
        config.option.parity_dir = [str(folder) for folder in usual if folder.is_dir()]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker of `-n` tests that lie together: what a file or a room prepares is then prepared once, and the
    server of processes starts in one worker. Who has nothing left takes over half of what another has."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling  # type: ignore[import-untyped]

    return WorkStealingScheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def _serving_is_measured_briefly() -> Iterator[None]:
    """Let runs of this process time a handful of calls where users' runs time a second of each."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("peftrec.training.measurement.repeated.BUDGET_SECONDS", 0.02)
        yield


__all__ = ["job_server"]  # a fixture for all tests
