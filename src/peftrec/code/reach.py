"""Which modules a module reaches by import, wherever in it the import stands."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache

from peftrec.code.places import PACKAGE, SourceFile, Sources
from peftrec.errors import SettingsError

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Fields of a statement that hold statements."""


def reached(roots: Iterable[str], sources: Sources, *, without: frozenset[str] = frozenset()) -> dict[str, SourceFile]:
    """Return the modules that `roots` reach, themselves included, by name.

    Modules of other packages are not followed, nor is what lies in a room of `without` (the first name below this
    package). Imports that only a type checker sees do not count. Raises SettingsError for source that no parser reads.
    """
    found: dict[str, SourceFile] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found or name == PACKAGE or _room(name) in without:
            continue
        source = sources.find(name)
        if source is None:
            continue
        found[name] = source
        waiting.extend(_imported(name, source))
        if parent := name.rpartition(".")[0]:
            waiting.append(parent)  # what a package's __init__ does happens too
    return found


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else ""


@cache
def _imported(name: str, source: SourceFile) -> tuple[str, ...]:
    try:
        tree = ast.parse(source.content)
    except SyntaxError as error:
        raise SettingsError(f"{source.path}:{error.lineno}: {error.msg}; Python cannot read it") from error
    found: list[str] = []
    for node in _running(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, name, is_package=source.is_package)
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]  # a name may be a module
    return tuple(found)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk the statements of the tree, without what stands under `if TYPE_CHECKING:`; no expression holds an import."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        is_for_types = isinstance(node, ast.If) and _is_type_checking(node.test)
        for name in ("orelse",) if is_for_types else _BLOCKS:
            waiting.extend(getattr(node, name, ()))


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _absolute(node: ast.ImportFrom, importer: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = importer.split(".")
    above = parts[: len(parts) - node.level + int(is_package)]
    return ".".join([*above, *([node.module] if node.module else [])])
