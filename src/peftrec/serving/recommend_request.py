"""What `peftrec recommend` is asked, in words that need no model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from peftrec.errors import SettingsError
from peftrec.files import try_writing

ALL = "all"
SUFFIX = ".parquet"


@dataclass(frozen=True, kw_only=True)
class RecommendRequest:
    """Who is recommended what to."""

    run: Path
    user: str | None
    items: tuple[str, ...]
    """A history without a user, oldest first; empty where a user is given."""
    k: int
    candidates: Path | None
    """Table of new items to rank beside the run's own."""
    keeps_seen: bool
    content_neighbours: float | Literal["auto", "off"] = "off"
    """How much content neighbours count beside the run's own scores."""
    places: tuple[str, ...] = ()
    """Where the run's things lie now: `data.root=DIR`."""
    profile_words: tuple[str, ...] = ()
    """Overrides of `conf/profiles`; empty asks the run's own user encoder."""


@dataclass(frozen=True, kw_only=True)
class FileRequest:
    """Who is recommended what, and where the answer lies."""

    run: Path
    users: str
    """A file of ids, or ALL for everybody whom the run's data holds."""
    to: Path
    k: int
    candidates: Path | None
    """Table of new items to rank beside the run's own."""
    keeps_seen: bool
    skips_unknown: bool
    """Whether users whom the run does not know are left out, and are no error."""
    overwrites: bool
    content_neighbours: float | Literal["auto", "off"] = "off"
    places: tuple[str, ...] = ()


def check_target(request: FileRequest) -> None:
    """Raise SettingsError, before anything is loaded, where the answer cannot lie in the file that was named."""
    if request.to.suffix != SUFFIX:
        raise SettingsError(f"to={request.to}: the answer is a Parquet table: let the name end in {SUFFIX}")
    try:
        if request.to.is_dir():
            inside = request.to / "recommended.parquet"
            raise SettingsError(f"to={request.to}: a folder; name a file in it: to={inside}")
        if request.to.exists() and not request.overwrites:
            raise SettingsError(f"to={request.to}: there is such a file; name another one, or add overwrite=true")
        try_writing(request.to.parent)
    except OSError as error:
        raise SettingsError(
            f"to={request.to}: no file can be written there ({error.strerror}); name one in another folder, or let "
            f"this user write in {request.to.parent}"
        ) from error
