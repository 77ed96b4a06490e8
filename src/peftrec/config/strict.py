"""What the settings of every part share: one configuration of strict, frozen, keyword-only pydantic dataclasses, and
the type of a name that is given to a folder or a file."""

import re
from typing import Annotated

from pydantic import AfterValidator, ConfigDict

from peftrec.config.validation_messages import describe

STRICT = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True, arbitrary_types_allowed=True)
"""Strict: `rank: abc` or `rank: "8"` is refused, an unknown key too. Yaml lists become tuples because parts are
validated as JSON (`peftrec.settings.run.build_part`), where a strict tuple accepts an array."""

LONGEST_NAME = 255
"""Letters of a name of a folder or file, on the file systems of Linux and macOS."""
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def is_folder_name(name: str) -> bool:
    """Say whether a folder may have such a name."""
    return _NAME.fullmatch(name) is not None and name.strip(".") != ""


def _check_name(name: str) -> str:
    if not is_folder_name(name):
        raise ValueError(
            "expected a name for a folder, of letters, digits, dots, dashes and underscores and not of dots alone, "
            f"got {describe(name)}"
        )
    if len(name) > LONGEST_NAME:
        raise ValueError(f"expected a name of at most {LONGEST_NAME} characters, got {len(name):,}; shorten it")
    return name


FolderName = Annotated[str, AfterValidator(_check_name)]
"""What has such a name stays below the folder that it is put in."""
