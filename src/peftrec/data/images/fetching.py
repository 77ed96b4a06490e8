"""From addresses to a folder of pictures: resumable, each picture decoded before it counts, failures listed.

The folder holds `<item>.<suffix>`, `fetched.csv` with a checksum of each, and `failures.csv`. A picture is written
beside its place and renamed, then its line is added to `fetched.csv`; after a kill between the two, the next run finds
the picture and adds the line.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from peftrec.data.images.decoding import CorruptImageError, decode_rgb
from peftrec.data.images.download import Downloader, FetchError, plain_address
from peftrec.data.images.ledger import Failure, Ledger, file_name
from peftrec.data.images.politeness import Hosts, NotAskedError, Politeness

FIRST_WAIT = 1.0
"""Seconds before the second try; each further one waits twice as long."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How hard pictures are tried for."""

    workers: int = 8
    tries: int = 3
    first_wait: float = FIRST_WAIT


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What a run did."""

    present: int
    """Pictures that were there before."""
    new: int
    failures: tuple[Failure, ...]
    most_shared: int
    """Items that share the picture which most of them share: a server's stand-in for what it has not."""


@dataclass(kw_only=True)
class Fetching:
    """One run."""

    ledger: Ledger
    downloader: Downloader
    politeness: Politeness = field(default_factory=Politeness)
    effort: Effort = field(default_factory=Effort)
    advance: Callable[[int], object] = lambda _: None

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._hosts = Hosts(self.politeness, self._stop)
        self._jobs_lock = threading.Lock()

    def run(self, addresses: Mapping[str, str]) -> Fetched:
        """Fetch the pictures of all items that lack one, by item; items of one address share a request.

        Raises OSError where the folder cannot be written; what was fetched stays.
        """
        missing = {item: address for item, address in addresses.items() if not self.ledger.holds(item, address)}
        self.advance(len(addresses) - len(missing))
        of_address: dict[str, list[str]] = {}
        for item, address in missing.items():
            of_address.setdefault(address, []).append(item)
        failures = self._fetch_all(iter(of_address.items()))
        order = {item: place for place, item in enumerate(addresses)}
        failures.sort(key=lambda failure: order[failure.item])
        self.ledger.write_failures(failures)
        shared = Counter(entry.sha256 for item, entry in self.ledger.entries.items() if item in addresses)
        return Fetched(
            present=len(addresses) - len(missing),
            new=len(missing) - len(failures),
            failures=tuple(failures),
            most_shared=max(shared.values(), default=0),
        )

    def _fetch_all(self, jobs: Iterator[tuple[str, list[str]]]) -> list[Failure]:
        failures: list[Failure] = []
        with ThreadPoolExecutor(self.effort.workers) as pool:
            workers = [pool.submit(self._work, jobs, failures) for _ in range(self.effort.workers)]
            try:
                for worker in as_completed(workers):
                    worker.result()
            except BaseException:
                self._stop.set()
                self.downloader.stop()
                raise
        return failures

    def _work(self, jobs: Iterator[tuple[str, list[str]]], failures: list[Failure]) -> None:
        while not self._stop.is_set():
            with self._jobs_lock:
                job = next(jobs, None)
            if job is None:
                return
            address, items = job
            found = self._fetch(address, items)
            with self._jobs_lock:
                failures += found
            self.advance(len(items))

    def _fetch(self, address: str, items: Sequence[str]) -> list[Failure]:
        """Fetch one picture for its items, and return what failed."""
        named = {item: file_name(item) for item in items}
        failures = [Failure(item, address, "its id makes no file name", 0) for item, name in named.items() if not name]
        writable = [item for item, name in named.items() if name]
        if not writable:
            return failures
        try:
            content, image = self._tried(address)
        except _GivenUpError as error:
            return failures + [Failure(item, address, error.reason, error.tries) for item in writable]
        for item in writable:
            self.ledger.add(item, address, content, image)
        return failures

    def _tried(self, address: str) -> tuple[bytes, tuple[int, int]]:
        """Return a picture's bytes, width and height. Raises _GivenUpError."""
        tries = 0
        while True:
            try:
                with self._hosts.turn(url := plain_address(address)):
                    tries += 1
                    content = self.downloader.download(url)
                return content, decode_rgb(content, "picture").size
            except CorruptImageError as error:
                raise _GivenUpError(str(error).removeprefix("picture: "), tries) from error
            except NotAskedError as error:
                raise _GivenUpError(error.reason, tries) from error
            except FetchError as error:
                if error.is_final or tries >= self.effort.tries:
                    raise _GivenUpError(error.reason, tries) from error
                if self._stop.wait(self.effort.first_wait * 2 ** (tries - 1)):
                    raise _GivenUpError("stopped", tries) from error


class _GivenUpError(Exception):
    """No further try."""

    def __init__(self, reason: str, tries: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.tries = tries
