"""What `peftrec retrieval` is asked: a run, which profiles, the protocol, and what all profiles share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from peftrec.cli.arguments import take_words
from peftrec.errors import SettingsError

_OWN = ("run", "profile")


@dataclass(frozen=True, kw_only=True)
class RetrievalRequest:
    """Which profiles of which run are compared, and how."""

    run: Path
    profiles: tuple[str, ...]
    """Names of yaml files; empty takes all there are."""
    protocol: dict[str, Any]
    """Values of fields of the protocol, not checked yet."""
    overrides: tuple[str, ...]
    """Of `conf/profiles`, for every profile."""

    @classmethod
    def split(cls, words: Sequence[str], protocol_keys: Sequence[str]) -> "RetrievalRequest":
        """Sort the words. Raises SettingsError for one that is given twice or has no value."""
        own, others = take_words(words, (*_OWN, *protocol_keys))
        if "run" not in own:
            raise SettingsError("run is required: set run=RUN_DIR")
        return cls(
            run=Path(own["run"]),
            profiles=tuple(own["profile"].split(",")) if "profile" in own else (),
            protocol={key: _value(key, text) for key, text in own.items() if key in protocol_keys},
            overrides=tuple(others),
        )


def _value(key: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{key}={text}: cannot be read ({str(error).splitlines()[0]})") from error
