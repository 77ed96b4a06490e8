"""What stands in a file's place: clones without Git LFS leave pointers, and servers answer with pages."""

from pathlib import Path

from peftrec.errors import DataError

STAND_INS = {
    b"version https://git-lfs.github.com/": "a pointer of Git LFS in place of the file; run `git lfs pull` there",
    b"<!doctype html": "a web page in place of the file; fetch it again",
    b"<html": "a web page in place of the file; fetch it again",
}
"""How what is not the file itself begins, in lower case, and what it is."""

WRITE_AGAIN = "it is damaged, or broke off on its way: copy, download or write it again"
"""What to do about a file that is neither these nor whole."""


def stand_in(file: Path) -> str | None:
    """Say what lies at `file` in place of its content, and what to do; None where it may be the file itself, or where
    nothing lies."""
    try:
        with file.open("rb") as stream:
            start = stream.read(max(map(len, STAND_INS))).lower()
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        return "a folder in place of the file; remove it"
    except OSError as error:
        return f"cannot be read ({error.strerror}); let this user read it"
    return next((what for beginning, what in STAND_INS.items() if start.startswith(beginning)), None)


def refuse_stand_in(file: Path) -> None:
    """Raise DataError where something else lies at `file`."""
    if (what := stand_in(file)) is not None:
        raise DataError(f"{file}: {what}")
