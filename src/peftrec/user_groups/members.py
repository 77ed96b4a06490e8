"""Which group each user is in who trains, in a file beside a division's figures: who asks later needs no clusters."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from peftrec.errors import RecordError
from peftrec.files import write_stream_atomically
from peftrec.user_groups.clusters import Groups

USERS_FILE = "users.parquet"
"""Columns `user` and `group`, from 1 as folders count them."""


def write_members(groups: Groups, folder: Path) -> None:
    """Write the file."""
    table = pd.DataFrame({"user": groups.users, "group": groups.of_user + 1})
    write_stream_atomically(folder / USERS_FILE, lambda stream: table.to_parquet(stream, index=False))


def read_members(folder: Path) -> Groups:
    """Read it. Raises RecordError where it is not there, or damaged."""
    file = folder / USERS_FILE
    try:
        table = pd.read_parquet(file, columns=["user", "group"])
    except (OSError, pa.ArrowInvalid) as error:
        raise RecordError(
            f"{file}: which users are in which group cannot be read; remove {folder}, and give the command of the "
            "groups again"
        ) from error
    return Groups(users=tuple(table["user"]), of_user=table["group"].to_numpy(dtype=np.int64) - 1)
