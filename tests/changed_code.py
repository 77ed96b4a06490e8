"""Code that another commit would hold: a module's remembered text is changed, and its fingerprint with it."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from peftrec.code import user_code

Change = Callable[[str, bytes, bytes], None]
"""Takes a module, and what of its source is replaced by what."""


@pytest.fixture
def change_code() -> Iterator[Change]:
    """Replace text in a module's source as this process remembers it. What is loaded stays as it is: these tests are
    about names of runs and not about what the changed code does."""
    user_code.open_door()

    def change(module: str, old: bytes, new: bytes) -> None:
        sources = user_code.sources()
        file = sources.find(module)
        assert file is not None
        assert old in file.content
        sources.read[module] = replace(file, content=file.content.replace(old, new))

    yield change
    user_code.open_door()
