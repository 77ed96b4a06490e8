"""Style, script and data inside one file, which nothing else can be loaded into."""

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

from markupsafe import Markup

SCRIPTS = (
    *("elements.js", "state.js", "chart.js", "table.js", "plot.js", "tpme.js", "curves.js"),
    *("segments.js", "diff.js", "drawer.js", "start.js"),
)
"""In the order in which they build on each other: together they are one script."""
_ROOM = "peftrec.results.report"
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def script() -> str:
    """Return the page's whole script."""
    folder = files(_ROOM) / "scripts"
    parts = "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def embedded(data: Any) -> Markup:
    """Return data as JSON for a script element, which no text in it can end."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text)


def policy(code: str) -> str:
    """Return the policy under which a browser runs this very script and loads nothing."""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    allowed = {"default-src": "'none'", "script-src": f"'sha256-{digest}'", "style-src": "'unsafe-inline'"}
    allowed |= {"base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(f"{what} {whom}" for what, whom in allowed.items())
