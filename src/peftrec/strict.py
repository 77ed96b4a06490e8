"""The one configuration of every swappable part: a strict, frozen, keyword-only pydantic dataclass."""

from pydantic import ConfigDict

STRICT = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True, arbitrary_types_allowed=True)
"""Strict: `rank: abc` or `rank: "8"` is refused, an unknown key too. Yaml lists become tuples because parts are
validated as JSON (`peftrec.settings.build_part`), where a strict tuple accepts an array."""
