"""A finished division in memory: one model, and for each group what it has for itself."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from peftrec.results.tables import bytes_text
from peftrec.serving.catalogue import ServedCatalogue
from peftrec.training.parameter_groups import tensor_bytes
from peftrec.training.run.restored_run import RestoredRun
from peftrec.user_groups.answering import group_folder
from peftrec.user_groups.clusters import NONE, Groups
from peftrec.user_groups.members import read_members
from peftrec.user_groups.part import Part, trained_tensors


@dataclass(frozen=True, kw_only=True)
class HeldGroups:
    """Groups are counted from 1. 0 is the run's own part, which answers who is in none.

    A part is put into the model by pointing its parameters at other tensors: nothing is copied, and whatever the groups
    share, towers and user encoder above all, is in memory once. One thread may use the model at a time.
    """

    run: RestoredRun
    """Its module has the run's own part when this is made, and may have any other afterwards."""
    members: Groups
    parameters: Mapping[str, nn.Parameter]
    """Of the run's module, that a part is put into."""
    parts: tuple[Mapping[str, Tensor], ...]
    """By group, 0 first."""

    @classmethod
    def of(cls, run: RestoredRun, folder: Path) -> "HeldGroups":
        """Read a finished division. Raises RecordError where it does not say who is in which group, CheckpointError
        where a group's part cannot be read."""
        members = read_members(folder)
        part = Part.of(run, epochs=1)
        parts = [part.start]
        for group in range(1, len(members) + 1):
            loaded = trained_tensors(part.load(group_folder(folder, group)))
            parts.append({name: tensor.detach().clone() for name, tensor in loaded.items()})
        parameters = {name: each for name, each in run.module.named_parameters() if name in part.start}
        held = cls(run=run, members=members, parameters=parameters, parts=tuple(parts))
        held.put(0)
        return held

    def __len__(self) -> int:
        return len(self.members)

    def group_of(self, user: str | None) -> int:
        """Return a user's group; 0 for who is in none, and for a history that is nobody's."""
        found = NONE if user is None else int(self.members.of((user,))[0])
        return 0 if found == NONE else found + 1

    def put(self, group: int) -> None:
        """Let the model be the group's from now on."""
        for name, tensor in self.parts[group].items():
            self.parameters[name].data = tensor

    @property
    def models(self) -> Sequence[Callable[[], None]]:
        """What makes the model the run's own, and each group's, in their order."""
        return [partial(self.put, group) for group in range(len(self.parts))]

    def catalogues(self) -> tuple[ServedCatalogue, ...]:
        """Encode the candidates by each group's part, group 1 first. Raises CheckpointError for vectors that are not
        finite."""
        found = []
        for put in self.models[1:]:
            put()
            found.append(ServedCatalogue.of(self.run))
        self.put(0)
        return tuple(found)

    def costs_text(self, vector_bytes: int, modules: Iterable[nn.Module]) -> str:
        """Say what is in memory: item vectors, of which each part has so many bytes, and what the `modules` hold."""
        number = len(self.parts)
        held = tensor_bytes(tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))
        return (
            f"{len(self)} group{'s' * (len(self) > 1)}, and the run's own part for who is in none: item vectors "
            f"{number} x {bytes_text(vector_bytes)}, parts of the model {number} x {bytes_text(self.part_bytes)}, "
            f"the rest of it once {bytes_text(held - self.part_bytes)}; a new item is encoded {number} times"
        )

    @property
    def part_bytes(self) -> int:
        """Of one part."""
        return tensor_bytes(self.parts[0].values())
