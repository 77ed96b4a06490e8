"""Items that were added to a served run, in a file that a restarted service reads: a Parquet file a run."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from pyarrow import parquet

from peftrec.errors import DataError, SettingsError
from peftrec.files import Holding, write_stream_atomically

_RUN = b"peftrec_checkpoint"
"""Key of the metadata: vectors belong to the weights that computed them."""
_DIGEST = b"peftrec_sha256"
"""Key of the metadata: Parquet as it is written here has no checksum of its own, and a damaged number is a number."""


@dataclass(frozen=True, kw_only=True)
class AddedItems:
    """Where a run's added items are kept; nowhere without a file."""

    file: Path | None
    checkpoint: str = ""
    """Digest of the run's checkpoint; of several, of their digests."""
    lock: Holding | None = field(default=None, compare=False)
    """Held while the file is kept: a second service would write over what the first one added."""

    @classmethod
    def beside(cls, folder: Path | None, name: str, *checkpoints: Path) -> "AddedItems":
        """Keep the items of the run `name` in a folder, if there is one, and no other service there; the checkpoints
        are the run's own and those of the groups that are served.

        Raises SettingsError where one does already, or where the folder cannot be made or written.
        """
        if folder is None:
            return cls(file=None)
        lock = Holding(folder / f".{name}.lock")
        try:
            is_ours = lock.acquire()
        except OSError as error:
            raise SettingsError(
                f"keep={folder}: no file can be kept there ({error.strerror}); name a folder that can be written"
            ) from error
        if not is_ours:
            raise SettingsError(f"keep={folder}: another service keeps items of {name} there; name another folder")
        digests = [_file_digest(checkpoint) for checkpoint in checkpoints]
        digest = digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()
        return cls(file=folder / f"{name}.parquet", checkpoint=digest, lock=lock)

    def release(self) -> None:
        """Let another service keep items there."""
        if self.lock is not None:
            self.lock.release()

    def read(
        self, *, dim: int, known: Collection[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...], Float[np.ndarray, "item dim"]]:
        """Return ids, titles and vectors of `dim` numbers; none where there is no file yet.

        Raises DataError where the file is damaged, another run's, or holds an id that is among the `known` ones.
        """
        if self.file is None or not self.file.exists():
            return (), (), np.zeros((0, dim), dtype=np.float32)
        try:
            table = parquet.read_table(self.file)
            ids, titles = (tuple(table[name].to_pylist()) for name in ("item", "title"))
            rows = table["vector"].to_pylist()
            if (lengths := {len(row) for row in rows}) not in (set(), {dim}):
                raise DataError(
                    f"{self.file}: its vectors have {max(lengths):,} numbers and this service's {dim:,}, as one with "
                    "content neighbours or groups has more of them than one without; serve it as before, or "
                    f"{self._remedy}"
                )
            vectors = np.array(rows, dtype=np.float32).reshape(len(table), dim)
            metadata = table.schema.metadata or {}
            owner, digest = (metadata.get(key, b"").decode() for key in (_RUN, _DIGEST))
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.file}: holds no added items ({error}); {self._remedy}") from error
        if owner != self.checkpoint:
            raise DataError(f"{self.file}: its items were encoded by other weights than this run's; {self._remedy}")
        if digest != _digest(ids, titles, vectors):
            raise DataError(f"{self.file}: its content is not what was written (the checksum differs); {self._remedy}")
        if taken := sorted({*ids} & {*known}) or len({*ids}) < len(ids):
            raise DataError(
                f"{self.file}: holds items that the run knows or that stand twice ({taken}); {self._remedy}"
            )
        if not np.isfinite(vectors).all():
            raise DataError(f"{self.file}: holds vectors that are not finite; {self._remedy}")
        return ids, titles, vectors

    def write(self, ids: tuple[str, ...], titles: tuple[str, ...], vectors: Float[np.ndarray, "item dim"]) -> None:
        """Replace what is kept; a crash leaves the old file or the new one. Raises OSError where it cannot be."""
        if self.file is None:
            return
        columns = {
            "item": pa.array(ids, pa.string()),
            "title": pa.array(titles, pa.string()),
            "vector": pa.array(list(vectors), pa.list_(pa.float32())),
        }
        metadata = {_RUN: self.checkpoint, _DIGEST: _digest(ids, titles, vectors)}
        table = pa.table(columns).replace_schema_metadata(metadata)
        write_stream_atomically(self.file, lambda stream: parquet.write_table(table, stream))

    @property
    def _remedy(self) -> str:
        return "move the file away, or name another folder with keep=DIR"


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _digest(ids: Sequence[str], titles: Sequence[str | None], vectors: Float[np.ndarray, "item dim"]) -> str:
    texts = json.dumps([ids, titles]).encode()
    return sha256(texts + b"\0" + vectors.astype("<f4").tobytes()).hexdigest()
