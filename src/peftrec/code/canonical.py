"""The part of a module's source that decides what it does, in a form that does not depend on the Python version.

Comments, white space, docstrings and other bare strings do not enter, and neither do fields of the syntax tree that
one version has and another lacks while they are empty.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache

_SAYS_NOTHING = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields of a node that follow from where it stands, or that the interpreter does not read."""
_DIGITS = 16


@cache
def source_digest(source: bytes) -> str:
    """Return a hash of what a module does, equal on Python 3.11 to 3.14. Raises SyntaxError."""
    digest = hashlib.sha256()
    for token in _tokens(_WithoutEmptyText().visit(ast.parse(source))):
        digest.update(token.encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.hexdigest()[:_DIGITS]


def _tokens(value: object) -> Iterator[str]:
    if isinstance(value, ast.AST):
        yield f"({type(value).__name__}"
        for name in value._fields:
            part = getattr(value, name, None)
            if name not in _SAYS_NOTHING and part is not None and part != []:
                yield name
                yield from _tokens(part)
        yield ")"
    elif isinstance(value, list):
        yield "["
        for part in value:
            if not _is_idle(part):
                yield from _tokens(part)
        yield "]"
    else:
        # In ASCII: which other characters `repr` escapes follows from the Unicode tables of a Python version.
        yield f"{type(value).__name__} {value!a}"


def _is_idle(part: object) -> bool:
    """Say whether a member of a list does nothing: a docstring, a string beneath a field that explains it, `pass`."""
    if isinstance(part, ast.Expr):
        return isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)
    return isinstance(part, ast.Pass)


class _WithoutEmptyText(ast.NodeTransformer):
    """Takes out of f-strings the empty text that Python 3.12 puts behind a nested format, as in `f"{x:{width}}"`."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        self.generic_visit(node)
        node.values = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
        return node
