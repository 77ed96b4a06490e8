"""Names that are given to folders and files: a setting of this type stays below the folder that it is put in."""

import re
from typing import Annotated

from pydantic import AfterValidator

from peftrec.validation_messages import describe

_ALLOWED = re.compile(r"[A-Za-z0-9._-]+")
_OTHER_FOLDERS = (".", "..")


def _check(name: str) -> str:
    if not _ALLOWED.fullmatch(name) or name in _OTHER_FOLDERS:
        raise ValueError(
            f"it names a folder or file, of letters, digits, dots, dashes and underscores, not {describe(name)}"
        )
    return name


FolderName = Annotated[str, AfterValidator(_check)]
