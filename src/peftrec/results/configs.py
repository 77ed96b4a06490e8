"""Recorded configurations side by side: what differs between runs besides what is compared."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

PLACE = "place"
"""The role of a key that decides neither what comes out nor what it costs (see peftrec.config.roles)."""
STRATEGY = ("strategy", "strategy_name")
ABSENT = "absent"
CLASS = "._target_"
"""Ends the key that names the class of a part."""


def flatten(
    config: Mapping[str, JsonValue], roles: Mapping[str, str] | None = None, *, with_strategy: bool = True
) -> dict[str, str]:
    """Return dotted key to JSON text, without keys whose role is to be a place; lists count as one value."""
    flat: dict[str, str] = {}
    _collect(config, "", flat)
    places = tuple(key for key, role in (roles or {}).items() if role == PLACE)
    left_out = places if with_strategy else (*places, *STRATEGY)
    return {key: value for key, value in flat.items() if not _is_below(key, left_out)}


def seed_keys(runs: Iterable[tuple[int, Mapping[str, str]]]) -> set[str]:
    """Return the keys that repeat the run's seed in every (seed, configuration): `seed`, `towers.text.seed`."""
    tracks: dict[str, bool] = {}
    for seed, flat in runs:
        for key, value in flat.items():
            if key.split(".")[-1].endswith("seed"):
                tracks[key] = tracks.get(key, True) and value == str(seed)
    return {key for key, is_seed in tracks.items() if is_seed}


def differing(configs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return one line a key whose values differ between the named configurations: `batch_size (32: a, b; 64: c)`."""
    keys = sorted({key for flat in configs.values() for key in flat})
    return [line for key in keys if (line := _line(key, configs)) is not None]


def telling_values(configs: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return by configuration the keys and values that tell it from the others.

    Where a part's class differs, the class tells (`user_encoder` is `GRU4Rec`), and of the part's own keys only those
    in which configurations of one class differ.
    """
    keys = [key for key in sorted({key for flat in configs.values() for key in flat}) if _differs(key, configs)]
    classes = [key for key in keys if key.endswith(CLASS)]
    told: dict[str, dict[str, str]] = {name: {} for name in configs}
    for key in keys:
        above = [each for each in classes if key != each and key.startswith(each.removesuffix("_target_"))]
        for name, flat in configs.items():
            alike = {
                other: values
                for other, values in configs.items()
                if all(values.get(each) == flat.get(each) for each in above)
            }
            value = value_at(flat, key) if _differs(key, alike) else None
            if value is not None:
                told[name][key.removesuffix(CLASS)] = _class_name(value, key, configs) if key in classes else value
    return told


def is_number(text: str) -> bool:
    """Say whether a value's text is that of a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """Return for each dotted key its shortest ending that no other of them has: `norm` for `user_encoder.norm`."""
    endings = {key: _endings(key) for key in set(keys)}
    counts = Counter(ending for each in endings.values() for ending in each)
    return {key: next((ending for ending in each if counts[ending] == 1), key) for key, each in endings.items()}


def _endings(key: str) -> list[str]:
    """Return all endings of whole parts, shortest first."""
    parts = key.split(".")
    return [".".join(parts[start:]) for start in reversed(range(len(parts)))]


def _differs(key: str, configs: Mapping[str, Mapping[str, str]]) -> bool:
    return len({flat.get(key) for flat in configs.values()}) > 1


def _class_name(path: str, key: str, configs: Mapping[str, Mapping[str, str]]) -> str:
    """Return the class without its module, unless two modules have one of that name."""
    paths = {value for flat in configs.values() if (value := flat.get(key)) is not None}
    names = {each.rpartition(".")[2] for each in paths}
    return path.rpartition(".")[2] if len(names) == len(paths) else path


def _line(key: str, configs: Mapping[str, Mapping[str, str]]) -> str | None:
    names: dict[str, list[str]] = {}
    for name, flat in configs.items():
        value = value_at(flat, key)
        if value is not None:
            names.setdefault(value, []).append(name)
    if len(names) <= 1:
        return None
    return f"{key} ({'; '.join(value + ': ' + ', '.join(group) for value, group in names.items())})"


def value_at(flat: Mapping[str, str], key: str) -> str | None:
    """Return the value as text; `set` where keys stand below it; None where a parent is null and says it already."""
    if key in flat:
        return flat[key]
    parts = key.split(".")
    if any(".".join(parts[:length]) in flat for length in range(1, len(parts))):
        return None
    return "set" if any(other.startswith(f"{key}.") for other in flat) else ABSENT


def _collect(node: Mapping[str, JsonValue], prefix: str, flat: dict[str, str]) -> None:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            _collect(value, f"{prefix}{key}.", flat)
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _is_below(key: str, prefixes: tuple[str, ...]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)
