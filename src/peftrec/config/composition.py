"""From the command line's overrides to checked settings: Hydra composes, `peftrec.config.instantiate` validates.

Every `KEY=VALUE` is handed to Hydra as `++KEY=VALUE`, so that one place, the validation, refuses unknown keys of the
command line and of yaml files alike, and a field that no yaml repeats can still be set.
"""

import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, QuotedString, RangeSweep
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from peftrec.code.user_code import config_folders
from peftrec.config.folder import config_directory
from peftrec.config.hydra_node import check_key, check_single, is_hydras
from peftrec.config.instantiate import PartType, build_part
from peftrec.config.launchers import LAUNCHER, explain_wrong_value, without_other_programs
from peftrec.config.other_names import instead_of
from peftrec.config.taken_away import explain_nothing_taken, explaining_taken_away
from peftrec.errors import SettingsError, UserError, nearest_name

ROOT_CONFIG = "config"
HYDRA_VERSION_BASE = "1.3"
NO_OPTIONS = (int, float, list, dict, RangeSweep, IntervalSweep)
"""What may be a value, or many, and names no yaml file."""
NEEDED = frozenset(
    {"data", "towers", "strategy", "user_encoder", "objective", "learning_rates", "trainer", "logger"},
)
"""Groups of which a run has one option, whatever is said."""
COMBINED = frozenset({"logger"})
"""Groups of which several options may stand together, `logger=[wandb,tensorboard]`: each sets keys of its own."""

_UNKNOWN_GROUP = re.compile("Could not override '([^']*)'")


def compose_part(declared: type[PartType], overrides: Sequence[str], *, folder: str) -> PartType:
    """Compose the settings of a verb that trains no sequential recommender, from `conf/FOLDER/config.yaml` and the
    groups beside it. Raises SettingsError as `compose_settings` does."""
    return compose_parts(declared, overrides, folder=folder, is_sweep=False)[0]


def compose_parts(
    declared: type[PartType], overrides: Sequence[str], *, folder: str, is_sweep: bool = True
) -> list[PartType]:
    """Compose such a verb's settings for every combination of comma-separated values."""
    with composer(config_directory() / folder) as loader, explaining_taken_away(overrides):
        parsed = OverridesParser.create(loader).parse_overrides(prepare_overrides(overrides, is_sweep=is_sweep))
        batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        composed = [compose(ROOT_CONFIG, overrides=list(job)) for batch in batches for job in batch]
        plain = [cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True)) for config in composed]
        return [build_part(declared, node) for node in plain]


class SweepError(SettingsError):
    """A key has several values where the settings of one run are asked for."""

    def __init__(self, word: str, key: str, *, is_choice: bool) -> None:
        self.word, values = word, word.partition("=")[2]
        self.otherwise = f", or quote a value with commas: {key}='\"...\"'"
        if is_choice:  # no yaml file has a comma in its name
            self.otherwise = f", or take them together: '{key}=[{values}]'" if key in COMBINED else ""
        super().__init__(f"{word}: several values make a sweep: add -m{self.otherwise}")


@contextmanager
def composer(config_dir: Path | None = None) -> Iterator[ConfigLoader]:
    """Open Hydra on the configuration folder and turn every mistake into a SettingsError."""
    directory = config_dir or config_directory()
    with initialize_config_dir(config_dir=str(directory), version_base=HYDRA_VERSION_BASE, job_name="peftrec"):
        loader = GlobalHydra.instance().config_loader()
        try:
            yield loader
        except UserError:
            raise
        except MissingConfigException as error:
            raise SettingsError(_missing_option_message(error, loader)) from error
        except OmegaConfBaseException as error:
            raise SettingsError(_interpolation_message(error)) from error
        except HydraException as error:
            said = _first_lines(error)
            ours = explain_nothing_taken(said) or explain_wrong_value(said) or _no_group_message(said, loader)
            raise SettingsError(ours or said) from error
        except YAMLError as error:
            raise SettingsError(_yaml_message(error)) from error
        except UnicodeDecodeError as error:
            raise SettingsError(_encoding_message((directory, *config_folders()))) from error


def _yaml_message(error: YAMLError) -> str:
    """Say where a yaml file stops being one."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        place = error.problem_mark
        return f"{place.name}:{place.line + 1}: {error.problem or error.context}; mend the yaml there"
    return f"a yaml file cannot be read: {error}"


def _encoding_message(folders: Sequence[Path]) -> str:
    """Name the yaml files that are not UTF-8; the reader's error does not say which file it read."""
    spoiled = [file for folder in folders for file in sorted(folder.rglob("*.yaml")) if not _is_utf8(file)]
    return f"{', '.join(map(str, spoiled))}: not UTF-8; save it in that encoding"


def _is_utf8(file: Path) -> bool:
    try:
        file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    return True


def prepare_overrides(overrides: Sequence[str], *, is_sweep: bool) -> list[str]:
    """Check the syntax and make every value an upsert (`++`), whether its key stands in a yaml or not."""
    loader = GlobalHydra.instance().config_loader()
    groups = set(loader.get_group_options("", ObjectType.GROUP))
    return [_prepare(text, groups, is_sweep=is_sweep) for text in overrides]


def _prepare(text: str, groups: set[str], *, is_sweep: bool) -> str:
    override = parse_override(text)
    key = override.key_or_group
    if override.is_sweep_override() and not is_sweep:
        raise SweepError(text, key, is_choice=key in groups)
    if is_hydras(key):
        check_key(key, text)
        check_single(override, text)
    bare, value = text.lstrip("+"), override.value()
    is_written_as_choice = "/" in key or override.package is not None
    is_choice = is_written_as_choice or key in groups
    if override.package is not None:
        plain = bare.replace(f"@{override.package}", "", 1)
        raise SettingsError(f"{text}: what is chosen of {key} has one place in a run: write {plain}")
    if override.is_delete():
        _check_taken_away(text, key, value, is_choice=is_choice, is_needed=key in NEEDED & groups)
        return text
    if not is_written_as_choice and (key not in groups or isinstance(value, dict)):
        return f"++{bare}"
    choices: list[Any] = value.list if isinstance(value, ChoiceSweep) else [value]
    if key in COMBINED:
        choices = [option for each in choices for option in (each if isinstance(each, list) and each else [each])]
    _check_choices(bare, key, choices)
    return text if is_written_as_choice and key != LAUNCHER else bare


def _check_taken_away(text: str, key: str, value: object, *, is_choice: bool, is_needed: bool) -> None:
    """Raise SettingsError for a word that takes away what a run must have, or that Hydra could not read."""
    if is_needed:
        raise SettingsError(_needed_message(text, key))
    if key == LAUNCHER:
        raise SettingsError(f"{text}: a sweep needs a launcher: leave this word out, or write {key}=isolated")
    if isinstance(value, ChoiceSweep) or (is_choice and isinstance(value, NO_OPTIONS)):
        raise SettingsError(f"{text}: it names no one option of {key}: write ~{key}, or leave this word out")


def _check_choices(text: str, key: str, choices: Sequence[object]) -> None:
    """Raise SettingsError for what cannot be an option of a group."""
    if any(each is None or isinstance(each, NO_OPTIONS) for each in choices):
        named = "options" if key in COMBINED else "one option"
        raise SettingsError(f"{text}: {key} is a choice among yaml files; leave it out, or name {named}")
    for each in choices:
        _check_option(text, key, each)


def _needed_message(text: str, group: str) -> str:
    """Say that a run needs one of a group, with what there is to choose."""
    names = ", ".join(_options(group, GlobalHydra.instance().config_loader()))
    return f"{text}: a run needs one {group}: leave this word out, or write {group}=NAME, of {names}"


def _check_option(text: str, key: str, option: object) -> None:
    """Raise SettingsError for an option that is named by a way to it: it would be another name for the same choice, or
    a choice of another group."""
    name = option.text if isinstance(option, QuotedString) else option
    if isinstance(name, str) and {".", ".."} & {*name.split("/")}:
        plain = posixpath.normpath(name)
        instead = f"write {key}={plain}" if not plain.startswith(("..", ".")) else f"write {key}=NAME"
        raise SettingsError(f"{text}: {name} is a path, and an option is named without one: {instead}")


def parse_override(text: str) -> Override:
    """Read a word of a command line. Raises SettingsError that quotes it where it is none."""
    try:
        override = OverridesParser.create().parse_overrides([text])[0]
    except OverrideParseException as error:
        raise SettingsError(_unreadable(text, str(error).splitlines()[0])) from error
    except ValueError as error:  # a whole number of more digits than Python reads
        raise SettingsError(f"{text.partition('=')[0]}: expected a number that a record can hold") from error
    if not override.key_or_group:
        raise SettingsError(_unreadable(text, "it names no key"))
    return override


def _unreadable(text: str, reason: str) -> str:
    return (
        f"cannot read {text!r} ({reason}): write KEY=VALUE, and quote a value with special characters: KEY='\"VALUE\"'"
    )


def _missing_option_message(error: MissingConfigException, loader: ConfigLoader) -> str:
    group, option = _split_choice(error.missing_cfg_file or "", loader)
    options = _options(group, loader)
    if not group or not options:
        return _first_lines(error)
    by_name = {each.rpartition("/")[2]: each for each in options}
    near = nearest_name(option.rpartition("/")[2], by_name)
    start, available = f"{group}={option}: no such option", f"available: {', '.join(options)}"
    if (instead := instead_of(group, option, options)) is not None:
        return f"{start}; {instead}; {available}"
    if near is not None:
        return f"{start}; did you mean {by_name[near]}? {available}"
    if group == LAUNCHER:
        return f"{start}; {available}"
    own = f"one of your own is a file DIR/{group}/{option}.yaml, and DIR is named by --config-dir DIR"
    return f"{start}; {available}; {own} (in Python config_dir=)"


def _no_group_message(said: str, loader: ConfigLoader) -> str | None:
    """Say which groups there are where Hydra says that it knows none of a name."""
    if (unknown := _UNKNOWN_GROUP.match(said)) is None:
        return None
    key = unknown[1]
    groups = [each for each in loader.get_group_options("", ObjectType.GROUP) if each != "hydra"]
    return f"{key}: there is no such choice; write GROUP=NAME, with GROUP one of {', '.join(groups)}"


def _split_choice(path: str, loader: ConfigLoader) -> tuple[str, str]:
    """Split `learning_rates/paper/id` after the group that a user chooses from, here `learning_rates`."""
    first, _, rest = path.partition("/")
    if first in loader.get_group_options("", ObjectType.GROUP) and first != "hydra":
        return first, rest
    group, _, option = path.rpartition("/")
    return group, option


def _options(group: str, loader: ConfigLoader, prefix: str = "") -> list[str]:
    options = [prefix + name for name in loader.get_group_options(group, ObjectType.CONFIG)]
    for nested in loader.get_group_options(group, ObjectType.GROUP):
        options += _options(f"{group}/{nested}", loader, f"{prefix}{nested}/")
    return without_other_programs(options) if group == LAUNCHER else options


def _interpolation_message(error: OmegaConfBaseException) -> str:
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is required: set {error.full_key}=VALUE"
    reason = str(error).splitlines()[0]
    return f"{error.full_key}: {reason}" if error.full_key else reason


def _first_lines(error: BaseException) -> str:
    """Return Hydra's own words without its advice to append, and what was beneath them."""
    lines = [line.strip() for each in (error, error.__cause__) if each for line in str(each).splitlines()[:1]]
    return ": ".join(line.rstrip(".:") for line in lines if line)
