"""Words of a command that take a key away (`~KEY`) which a run needs, or which nothing sets."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from omegaconf.errors import InterpolationKeyError

from peftrec.config.unknown_keys import MissingKeysError
from peftrec.config.validation_messages import VALUE
from peftrec.errors import SettingsError

_NOT_THERE = re.compile(
    r"Could not delete (?:from config\. )?'(.*)'(?: does not exist|\. No match in the defaults list)"
)
_OF_ANOTHER_VALUE = re.compile(
    r"Could not delete from config\. The value of '(.*)' is (.*) and not (.*?)\.?", re.DOTALL
)
_REFERRED_TO = re.compile("Interpolation key '(.*)' not found")


@contextmanager
def explaining_taken_away(words: Sequence[str]) -> Iterator[None]:
    """Name the word of a command that took away what a run then lacks, in place of the key that is missing."""
    try:
        yield
    except MissingKeysError as error:
        lines = [_explain(words, key, instead) or line for key, instead, line in error.missing]
        raise SettingsError("\n".join(dict.fromkeys(lines))) from error
    except InterpolationKeyError as error:
        named = _REFERRED_TO.search(str(error))
        message = named and _explain(words, named[1], f"{named[1]}={VALUE}")
        if message is None:
            raise
        raise SettingsError(message) from error


def _explain(words: Sequence[str], missing: str, instead: str) -> str | None:
    """Return what to say of the word that took `missing` away, alone or with all of its group."""
    for word in (each.removesuffix("=null") for each in words if each.startswith("~")):  # which a sweep adds
        key = word.removeprefix("~").partition("=")[0]
        if f"{missing}.".startswith(f"{key}."):
            otherwise = "" if instead.endswith(f"={VALUE}") else f", or write {instead}"
            return f"{word}: a run needs {key}: leave this word out{otherwise}"
    return None


def explain_nothing_taken(said: str) -> str | None:
    """Return in our words what Hydra says of a word that takes away what is not there; None for what else it says."""
    if (nothing := _NOT_THERE.match(said)) is not None:
        return (
            f"~{nothing[1]}: there is nothing to take away, as no yaml file of this command sets it, or it is null: "
            "leave this word out"
        )
    if (other := _OF_ANOTHER_VALUE.fullmatch(said)) is not None:
        key, there, given = other.groups()
        return f"~{key}={given}: {key} is {there} here: leave this word out, or write {key}={given} to set it"
    return None
