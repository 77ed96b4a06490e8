"""What a service lets a request ask for, so that no request takes the memory or the time of the others."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from peftrec.errors import DataError
from peftrec.serving.http.messages import NewItem
from peftrec.serving.sent_items import texts_of

LONGEST_ID = 256
LONGEST_TEXT = 10_000
"""Characters; a tower reads the first tokens of a title or a further text."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most of each; the fields are keys of `peftrec serve`, each a whole number from 1."""

    max_k: int = 1000
    """Items of one recommendation."""
    max_history: int = 1000
    """Ids of a history that a request holds."""
    max_items: int = 64
    """New items of one request."""
    max_added: int = 10_000
    """Items that a run of the service holds beside its own."""
    max_image_pixels: int = 2**24
    """Width times height that an image may declare; 4096 x 4096."""
    max_body_mib: int = 16
    """Of a request, in 2**20 bytes."""
    max_head_seconds: int = 10
    """From a connection, or the first byte of a further request on it, to the end of the request's head."""
    max_body_seconds: int = 30
    """From a request's head to the end of its body."""
    max_batch: int = 64
    """Recommendations that are computed together."""
    max_queue: int = 256
    """Requests that wait to be computed; more are answered with 503."""

    @property
    def max_body_bytes(self) -> int:
        return self.max_body_mib * 2**20

    def check_k(self, k: int) -> None:
        """Raise DataError for more items than one recommendation may hold."""
        self._check("k", k, "max_k", "lower k")

    def check_history(self, items: Sequence[str]) -> None:
        """Raise DataError for a history that is too long."""
        self._check("items", len(items), "max_history", "send the last items alone, of which the run reads a few dozen")

    def check_items(self, items: Sequence[NewItem]) -> None:
        """Raise DataError for too many new items, or one whose texts are too long."""
        self._check("items", len(items), "max_items", "send them in several requests")
        for number, item in enumerate(items):
            texts = ((key, text, LONGEST_TEXT) for key, text in texts_of(item))
            for key, text, longest in (("id", item.id, LONGEST_ID), *texts):
                if len(text) > longest:
                    raise DataError(f"items.{number}.{key}: {len(text):,} characters; at most {longest:,} are read")

    def check_added(self, present: int, sent: int) -> None:
        """Raise DataError where a run would hold too many added items."""
        if present + sent > self.max_added:
            raise DataError(
                f"items: {present:,} were added before and {sent:,} are to be, and this service allows "
                f"{self.max_added:,} (max_added={self.max_added}); start it with a larger max_added, or "
                "train a run that knows them"
            )

    def _check(self, key: str, number: int, limit: str, remedy: str) -> None:
        most = getattr(self, limit)
        if number > most:
            raise DataError(f"{key}: {number:,}, and this service allows {most:,} ({limit}={most}); {remedy}")


LIMITS = tuple(field.name for field in fields(Limits))
