"""Which group each user is in who trains, in a file beside a division's figures: who asks later needs no clusters."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from peftrec.errors import RecordError
from peftrec.files import write_stream_atomically
from peftrec.results.divisions import RESULT_FILE, read_result
from peftrec.user_groups.clusters import Groups

USERS_FILE = "users.parquet"
"""Columns `user` and `group`, from 1 as folders count them."""


def write_members(groups: Groups, folder: Path) -> None:
    """Write the file."""
    table = pd.DataFrame({"user": groups.users, "group": groups.of_user + 1})
    write_stream_atomically(folder / USERS_FILE, lambda stream: table.to_parquet(stream, index=False))


def read_members(folder: Path) -> Groups:
    """Read it. Raises RecordError where it is not there, or damaged: its groups are those that the division's figures
    count."""
    file = folder / USERS_FILE
    try:
        table = pd.read_parquet(file, columns=["user", "group"])
        groups = Groups(users=tuple(table["user"]), of_user=table["group"].to_numpy(dtype=np.int64) - 1)
    except (OSError, pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise _damaged(folder, "cannot be read") from error
    counted = {group: figures.training_users for group, figures in enumerate(read_result(folder).groups)}
    if Counter(groups.of_user.tolist()) != counted:
        raise _damaged(folder, f"is not as {RESULT_FILE} counts them")
    if len({user for user in groups.users if isinstance(user, str)}) < len(groups.users):
        raise _damaged(folder, "is not said of each user once, by name")
    return groups


def _damaged(folder: Path, what: str) -> RecordError:
    return RecordError(
        f"{folder / USERS_FILE}: which users are in which group {what}; remove {folder}, and give the command of the "
        "groups again"
    )
