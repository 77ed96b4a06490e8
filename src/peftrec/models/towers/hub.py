"""Asking the hub for files: whatever it, the network or the disk answers is one error that says what to do."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from huggingface_hub import constants, get_session, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from peftrec.errors import SettingsError
from peftrec.files import FULL, UNUSABLE
from peftrec.outputs.safe_text import for_line

LONGEST_WAIT = 60
"""Seconds that the hub may ask for before it is asked again."""
_BUSY = frozenset({429, 503})
_SECONDS = re.compile(r"^(\d+)$|\bt=(\d+)")
"""As `Retry-After` tells them, and `RateLimit`, the hub's own."""

# The errors of the library that the client speaks through, which changes with the client's versions, and OSError.
_BROKEN_OFF = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
_NO_ANSWER = (ValueError, LookupError, TypeError, AttributeError, AssertionError)
"""What the client raises on an answer that is none of the hub's, as the page of a network that wants a login."""


class _BusyHubError(Exception):
    """The hub asks for patience that a command does not have."""


@dataclass(frozen=True, kw_only=True)
class HubRepository:
    """A repository of the hub at one revision, and the key of the configuration that names it."""

    key: str
    name: str
    revision: str | None

    def fetch(self, files: tuple[str, ...]) -> Path:
        """Return the folder that holds `files` (names and patterns), as far as the repository has them.

        Raises SettingsError where they cannot be had; within seconds, or half a minute of asking again.
        """
        try:
            return snapshot(self.name, self.revision, files, is_local=False)
        except HFValidationError as error:
            raise SettingsError(
                f"{self.key}: there is no folder {self.name!r}, and it is no hub name; give a folder in Hugging Face "
                "format, or the name of a hub repository"
            ) from error
        except LocalEntryNotFoundError as error:
            raise SettingsError(
                f"{self.key}: {self} is no folder here and not whole in the hub's cache, and the hub "
                f"{_unreachable(error)}; {self.by_hand()}"
            ) from error
        except (RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError) as error:
            raise SettingsError(
                f"{self.key}: {self} is no folder here, and the hub does not give it out "
                f"({type(error).__name__}); correct the name or the revision, or log in with `hf auth login`"
            ) from error
        except _BusyHubError as error:
            raise SettingsError(f"{self.key}: {self}: the hub {error}; give the command again then") from error
        except _BROKEN_OFF as error:
            raise SettingsError(f"{self.key}: {self} was not fetched: {self._broken_off(error)}") from error
        except _NO_ANSWER as error:
            raise SettingsError(
                f"{self.key}: {self}: what answers in the hub's place is not the hub ({type(error).__name__}), as in a "
                f"network that wants a login first; {self.by_hand()}"
            ) from error

    def by_hand(self) -> str:
        """Return how to get the files on a way of one's own."""
        revision = f" --revision {self.revision}" if self.revision else ""
        download = f"`hf download {self.name}{revision} --local-dir DIR`"
        return f"where there is a network run {download}, then {self.key}=DIR"

    def _broken_off(self, error: BaseException) -> str:
        if isinstance(error, OSError) and error.errno in FULL | UNUSABLE:
            return f"{error}; free space, or set the variable HF_HOME to another folder"
        return f"{one_line(error)}; give the command again, or {self.by_hand()}"

    def __str__(self) -> str:
        return f"{self.name!r} at revision {self.revision}" if self.revision else repr(self.name)


def one_line(error: BaseException, longest: int = 160) -> str:
    """Return what an error of a library says, in one line and not at length; its class where it says nothing. What it
    quotes of a file is made safe."""
    words = for_line(" ".join(str(error).split()))
    if not words or isinstance(error, LookupError):  # whose message is the key alone
        words = f"{type(error).__name__} {words}".strip()
    return words if len(words) <= longest else f"{words[: longest // 2]} ... {words[-longest // 2 :]}"


def _unreachable(error: BaseException) -> str:
    cause = error.__cause__
    return f"answers {cause.response.status_code}" if isinstance(cause, HfHubHTTPError) else "cannot be reached"


@functools.cache
def snapshot(name: str, revision: str | None, files: tuple[str, ...], *, is_local: bool) -> Path:
    """Fetch once a process, so that a branch that moves cannot give a run two versions of one model.

    Raises SettingsError where the hub's cache has no place, and what the client raises.
    """
    if constants.HF_HUB_CACHE.startswith("~"):
        raise SettingsError(
            f"{name!r} comes from the hub, and this user has no home folder for its cache; set the variable HF_HOME to "
            "a folder"
        )
    hooks = get_session().event_hooks
    if _refuse_to_wait not in hooks["response"]:
        get_session().event_hooks = {**hooks, "response": [*hooks["response"], _refuse_to_wait]}
    return Path(snapshot_download(name, revision=revision, allow_patterns=list(files), local_files_only=is_local))


def _refuse_to_wait(response: Any) -> None:
    """Raise _BusyHubError where the client would sleep for longer than a command may, without a word."""
    if response.status_code not in _BUSY:
        return
    told = (_SECONDS.search(response.headers.get(name, "")) for name in ("Retry-After", "RateLimit"))
    seconds = max((int(found[1] or found[2]) for found in told if found), default=0)
    if seconds > LONGEST_WAIT:
        raise _BusyHubError(f"answers {response.status_code} and asks to wait {seconds:,} seconds")
