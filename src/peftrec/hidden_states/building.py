"""Building of a hidden-state store: by one job at a time, resumable at any moment, visible when it is whole.

The arrays grow in `<name>.building`, which becomes `<name>` by a rename. Whoever builds holds `<name>.lock`; the ranks
of one job share the work, and a second job waits and reads the result, or goes on where the first one was killed.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from peftrec import __version__
from peftrec.errors import StoreError
from peftrec.files import sync_directory, write_atomically
from peftrec.hidden_states.arrays import create_array, is_of_shape, write_array
from peftrec.hidden_states.channels import EXACT_DTYPE, round_by_channel
from peftrec.hidden_states.checksums import BLOCK_BYTES
from peftrec.hidden_states.disk import check_space, explaining_disk, is_there
from peftrec.hidden_states.encoding import ChunkEncoder, StateSource
from peftrec.hidden_states.key import LENGTHS_DTYPE, StoreKey, lengths_of, scales_of
from peftrec.hidden_states.locking import builder_lock
from peftrec.hidden_states.manifest import MANIFEST, ArrayFile, Manifest, StoreCode, TowerOrigin
from peftrec.hidden_states.paths import array_path, building_path, exact_path, lock_path
from peftrec.hidden_states.progress import (
    BuildPlan,
    Progress,
    forget,
    is_progress_of,
    order_checksum,
    read_finished,
    read_plan,
    write_plan,
)
from peftrec.hidden_states.rounding import relative_error
from peftrec.hidden_states.store import HiddenStateStore, open_store
from peftrec.hidden_states.token_counts import num_tokens_of
from peftrec.hidden_states.token_rows import offsets_of
from peftrec.hidden_states.writing import ChunkWriter
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.stored_precision import element_type, row_width
from peftrec.processes import ALONE, ProcessRank
from peftrec.progress.terminal import counting


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How a store is built; only the batch size can be seen in its numbers, by their rounding."""

    batch_size: int = 64
    save_seconds: float = 5.0
    """How much work a kill may cost."""
    block_bytes: int = BLOCK_BYTES
    """What one checksum covers."""
    code: StoreCode = field(default_factory=StoreCode)
    """What `key.code` is the hash of, for the manifest."""
    num_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Threads that decode and pad ahead of the towers."""


def open_or_build(
    directory: Path,
    key: StoreKey,
    load: Callable[[], StateSource],
    *,
    origins: dict[str, TowerOrigin],
    options: BuildOptions | None = None,
    processes: ProcessRank = ALONE,
) -> HiddenStateStore:
    """Open the store of `key` in `directory`; build it first, from what `load` returns, where it does not exist.

    Raises StoreError for a store that is damaged, a full disk, and states that are not finite.
    """
    folder = directory / key.folder_name()
    with ExitStack() as stack:

        def take() -> None:
            if not is_there(folder):
                with explaining_disk(directory):
                    stack.enter_context(builder_lock(lock_path(folder), folder))
                    publish_finished(folder)

        processes.from_first(take)  # from here on the store is whole, or this job's to build
        if not is_there(folder):
            _Build(folder, key, load(), origins, options or BuildOptions(), processes).run()
    return open_store(folder, key)


def publish_finished(folder: Path) -> None:
    """Let a store appear whose manifest is written; its builder may have been killed before."""
    beside = building_path(folder)
    if (beside / MANIFEST).is_file():
        forget(beside)
        sync_directory(beside)
        beside.rename(folder)
        sync_directory(folder.parent)


class _Build:
    """One attempt of one rank."""

    def __init__(
        self,
        folder: Path,
        key: StoreKey,
        source: StateSource,
        origins: dict[str, TowerOrigin],
        options: BuildOptions,
        processes: ProcessRank,
    ) -> None:
        self.folder = folder
        self.beside = building_path(folder)
        self.options = options
        self.processes = processes
        self.order = source.content.encoding_order(key.num_items)
        self.lengths = num_tokens_of(source, key.num_items) if key.form == "tokens" else {}
        self.encoder = ChunkEncoder(
            source,
            key,
            num_threads=options.num_threads,
            offsets={name: offsets_of(lengths) for name, lengths in self.lengths.items()} or None,
        )
        self.plan = BuildPlan(
            key=key, origins=origins, batch_size=options.batch_size, order_crc32=order_checksum(self.order)
        )
        present = source.towers.present().items()
        self.shapes: dict[TowerName, tuple[int, int, int]] = {
            name: (
                int(self.lengths[name].sum()) if self.lengths else key.num_items,
                len(key.towers[name].states),
                row_width(tower.width, key.dtype),
            )
            for name, tower in present
        }

    def run(self) -> None:
        """Prepare, compute this rank's chunks, and let the store appear; the folder may go away meanwhile."""
        with explaining_disk(self.beside):
            self.processes.from_first(self._prepare)
            if not self.beside.exists():
                raise StoreError(
                    f"{self.beside}: rank {self.processes.rank} on {os.uname().nodename} does not see what rank 0 "
                    "made; set hidden_states.directory=DIR to a folder that all machines share"
                )
            self._compute()
            self.processes.wait_for_all()
            self.processes.from_first(self._finish)

    def _prepare(self) -> None:
        """Make the arrays at full size, unless an earlier attempt left them."""
        if is_there(self.beside):
            if self._can_resume():
                print(f"resuming {self.beside}", file=sys.stderr)
                self._write_lengths()  # anew: nothing says whether they are what they were
                return
            print(f"{self.beside}: cannot be resumed under these settings; starting again", file=sys.stderr)
            shutil.rmtree(self.beside)
        arrays = self._arrays()
        check_space(self.folder.parent, arrays.values())
        try:
            self.beside.mkdir()
            for path, (shape, dtype) in arrays.items():
                create_array(path, shape, dtype)
            self._write_lengths()
            write_plan(self.beside, self.plan)  # last: without a plan nothing is resumed
            sync_directory(self.beside.parent)
        except BaseException:
            shutil.rmtree(self.beside, ignore_errors=True)
            raise

    def _arrays(self) -> dict[Path, tuple[tuple[int, int, int], str]]:
        """Return shape and dtype of the arrays of states: the store's, and those that grow where scales come last."""
        dtype = element_type(self.plan.key.dtype)
        kept = {array_path(self.beside, name): (shape, dtype) for name, shape in self.shapes.items()}
        if not self.plan.key.has_scales:
            return kept
        return kept | {exact_path(self.beside, name): (shape, EXACT_DTYPE) for name, shape in self.shapes.items()}

    def _write_lengths(self) -> None:
        for name, lengths in self.lengths.items():
            write_array(array_path(self.beside, lengths_of(name)), lengths.reshape(-1, 1, 1), LENGTHS_DTYPE)

    def _can_resume(self) -> bool:
        plan = read_plan(self.beside)
        if plan is None or not all(array_path(self.beside, lengths_of(name)).is_file() for name in self.lengths):
            return False
        if plan.model_copy(update={"origins": self.plan.origins}) != self.plan:  # weights may have moved meanwhile
            return False
        are_whole = (is_of_shape(path, *described) for path, described in self._arrays().items())
        return all(are_whole) and is_progress_of(self.beside, plan)

    def _compute(self) -> None:
        finished = read_finished(self.beside).chunks
        starts = range(0, len(self.order), self.plan.batch_size)
        mine = [
            (chunk, self.order[start : start + self.plan.batch_size])
            for chunk, start in enumerate(starts)
            if self._has(chunk) and chunk not in finished
        ]
        progress = Progress(self.beside, self.processes.rank)
        num_items = sum(len(items) for _, items in mine)
        grows = exact_path if self.plan.key.has_scales else array_path
        paths = {name: grows(self.beside, name) for name in self.shapes}
        with (
            ChunkWriter(paths, progress, save_seconds=self.options.save_seconds) as writer,
            closing(self.encoder.encode(mine)) as encoded,
            counting("items encoded", num_items, is_shown=self.processes.rank == 0) as advance,
        ):
            for chunk in encoded:
                writer.put(chunk)
                advance(len(chunk.items))
            writer.finish()

    def _has(self, chunk: int) -> bool:
        """Say whether a chunk is this process's to compute; that never depends on what is computed already."""
        return chunk % self.processes.count == self.processes.rank

    def _finish(self) -> None:
        done = read_finished(self.beside)
        started = time.perf_counter()
        if done.chunks != set(range(self.plan.num_chunks)):
            raise StoreError(f"{self.beside}: somebody else changed it meanwhile; give the same command again")
        rounding = done.rounding
        shapes = {str(name): shape for name, shape in self.shapes.items()}
        shapes |= {lengths_of(name): (len(lengths), 1, 1) for name, lengths in self.lengths.items()}
        if self.plan.key.has_scales:
            rounding = {name: round_by_channel(self.beside, name) for name in self.shapes}
            shapes |= {scales_of(name): (1, *shape[1:]) for name, shape in self.shapes.items()}
        arrays = {
            name: ArrayFile.of(array_path(self.beside, name), shape, block_bytes=self.options.block_bytes)
            for name, shape in shapes.items()
        }
        manifest = Manifest(
            key=self.plan.key,
            origins=self.plan.origins,
            code=self.options.code,
            arrays=arrays,
            rounding={str(name): relative_error(rounding[name]) for name in self.shapes},
            build_seconds=done.seconds + time.perf_counter() - started,
            batch_size=self.plan.batch_size,
            device=self.encoder.source.device.type,
            versions={"peftrec": __version__, **{name: version(name) for name in ("torch", "transformers")}},
        )
        write_atomically(self.beside / MANIFEST, manifest.to_bytes())
        publish_finished(self.folder)
