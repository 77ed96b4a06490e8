"""The finished division of a run's users that `groups=` names."""

from pathlib import Path
from shlex import quote

from peftrec.errors import RecordError, SettingsError, UserError
from peftrec.results.divisions import DIVISIONS, RESULT_FILE, find_results, read_division


def named_division(run: Path, name: str) -> Path:
    """Return the folder of a division: by its number of groups, or by the folder's name, with what leads there or
    without.

    Raises SettingsError where there is none of that name, UserError where several have that number, RecordError where
    it is another run's, or where it may be one that cannot be read.
    """
    inside, name = run / DIVISIONS, Path(name).name
    if (inside / name / RESULT_FILE).is_file():
        return read_division(run, inside / name).folder
    unreadable: list[str] = []
    found = {each.folder.name: len(each.result.groups) for each in find_results(run, unreadable=unreadable)}
    chosen = [folder for folder, number in found.items() if str(number) == name]
    if len(chosen) > 1:
        raise UserError(
            f"groups={name}: several divisions of {run} have that number; name one of them, "
            + " or ".join(f"groups={folder}" for folder in chosen)
        )
    if not chosen and unreadable:
        raise RecordError("\n".join(unreadable))
    if not chosen:
        there = f"finished are {', '.join(found)}" if found else "none is finished"
        number = name if name.isascii() and name.isdecimal() and int(name) else "8"
        raise SettingsError(
            f"groups={name}: no division of {run} is called so, {there}; make one by "
            f"peftrec groups run={quote(str(run))} number={number}"
        )
    return inside / chosen[0]
