"""The part of a module's source that decides what it does, in a form that does not depend on the Python version.

Comments, white space, docstrings and other bare strings do not enter, and neither do fields of the syntax tree that
one version has and another lacks while they are empty.
"""

import ast
import hashlib
from functools import cache

_SAYS_NOTHING = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields of a node that follow from where it stands, or that the interpreter does not read."""
_DIGITS = 16


@cache
def source_digest(source: bytes) -> str:
    """Return a hash of what a module does, equal on Python 3.11 to 3.14. Raises SyntaxError."""
    tokens: list[str] = []
    _write(ast.parse(source), tokens)
    return hashlib.sha256("\0".join(tokens).encode("ascii")).hexdigest()[:_DIGITS]


def _write(value: object, tokens: list[str]) -> None:
    if isinstance(value, ast.AST):
        tokens.append(f"({type(value).__name__}")
        for name in value._fields:
            part = getattr(value, name, None)
            if name not in _SAYS_NOTHING and part is not None and part != []:
                tokens.append(name)
                _write(_without_empty_text(part) if isinstance(value, ast.JoinedStr) else part, tokens)
        tokens.append(")")
    elif isinstance(value, list):
        tokens.append("[")
        for part in value:
            if not _is_idle(part):
                _write(part, tokens)
        tokens.append("]")
    else:
        # In ASCII: which other characters `repr` escapes follows from the Unicode tables of a Python version.
        tokens.append(f"{type(value).__name__} {value!a}")


def _is_idle(part: object) -> bool:
    """Say whether a member of a list does nothing: a docstring, a string beneath a field that explains it, `pass`."""
    if isinstance(part, ast.Expr):
        return isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)
    return isinstance(part, ast.Pass)


def _without_empty_text(parts: list[ast.expr]) -> list[ast.expr]:
    """Take out of an f-string the empty text that Python 3.12 puts behind a nested format, as in `f"{x:{width}}"`."""
    return [part for part in parts if not (isinstance(part, ast.Constant) and part.value == "")]
