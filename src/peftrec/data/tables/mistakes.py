"""What is wrong with a data set: all of it in one message, with the overrides by which a run goes on without it."""

from dataclasses import dataclass, field

from peftrec.errors import DataError


@dataclass(kw_only=True)
class Mistakes:
    """What was found so far. Who notes a mistake goes on as if it had been dropped, so that what is found later is what
    a run with the overrides would have found."""

    messages: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    """Policies that drop what is wrong, and what follows from dropping it."""
    can_be_dropped: bool = True

    def __bool__(self) -> bool:
        return bool(self.messages)

    def note(self, message: str, override: str | None) -> None:
        """Add a mistake and what drops it; None where only the file can be mended."""
        self.messages.append(message)
        self.can_be_dropped &= override is not None
        if override is not None:
            self.imply(override)

    def imply(self, override: str) -> None:
        """Add what dropping the mistakes so far needs as well."""
        if override not in self.overrides:
            self.overrides.append(override)

    def refuse(self, *, leaves_nobody: bool = False, unseen: str = "") -> None:
        """Raise DataError where there is a mistake; `unseen` says what was not looked at."""
        if not self.messages:
            return
        if len(self.messages) == 1:
            lines = self.messages
        else:
            listed = [f"  {number}. {message}" for number, message in enumerate(self.messages, start=1)]
            lines = [f"{len(listed)} mistakes in this data, each with those above it dropped:", *listed]
        raise DataError("\n".join([*lines, *([unseen] if unseen else []), *self._advice(leaves_nobody)]))

    def _advice(self, leaves_nobody: bool) -> list[str]:
        if leaves_nobody:
            return ["with all of this dropped no user is left: mend the data, or choose another remedy of those above"]
        if len(self.messages) == len(self.overrides) == 1 or not self.overrides:
            return []  # the message says it
        mended = "" if self.can_be_dropped else "mend what has no policy, and "
        return [f"to go on without all of this, {mended}add: {' '.join(self.overrides)}"]
