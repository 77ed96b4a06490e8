"""Words of a command line that no configuration composes: `--json`, and `KEY=VALUE` of keys that a verb has itself."""

from collections.abc import Collection, Mapping, Sequence

from peftrec.errors import SettingsError

JSON = "--json"


def take_json_flag(arguments: Sequence[str], *, verb: str) -> tuple[list[str], bool]:
    """Return the words without flags, and whether JSON is asked for. Raises SettingsError for another flag."""
    flags = {word for word in arguments if word.startswith("-")}
    if unknown := flags - {JSON}:
        raise SettingsError(f"unknown flag {min(unknown)}; see peftrec {verb} --help")
    return [word for word in arguments if word not in flags], bool(flags)


def take_words(words: Sequence[str], keys: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Return the values of these keys, and the other words. Raises SettingsError for a key given twice or emptily."""
    own: dict[str, str] = {}
    others: list[str] = []
    for word in words:
        key, _, value = word.partition("=")
        if key not in keys:
            others.append(word)
        elif key in own or not value:
            raise SettingsError(f"{word}: {key} is given twice" if key in own else f"{word}: give {key} a value")
        else:
            own[key] = value
    return own, others


def is_true(own: Mapping[str, str], key: str) -> bool:
    """Return a switch, which is off where it is not given. Raises SettingsError for anything but true and false."""
    value = own.get(key, "false")
    if value not in ("true", "false"):
        raise SettingsError(f"{key}={value}: expected true or false")
    return value == "true"
