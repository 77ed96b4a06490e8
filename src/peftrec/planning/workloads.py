"""From settings to a workload: the data's own sizes, or the numbers given in its place."""

import numpy as np
import numpy.typing as npt

from peftrec.data.split import split_catalogue
from peftrec.errors import DataError, SettingsError
from peftrec.models.towers.families import family_of
from peftrec.models.towers.names import TowerName
from peftrec.planning.batches import ExpectedWorkload, MeasuredWorkload, Workload
from peftrec.planning.request import DataSize, PlanRequest
from peftrec.settings.run import Settings
from peftrec.towers.pretrained import PretrainedText
from peftrec.training.building.reading import read_content

_NOT_READ = "images and ready features are not looked at: items that their policies would drop are counted"
_EXPECTED = (
    "items are taken as equally popular and titles at their longest, the most that a batch can be expected to hold"
)


def find_workload(settings: Settings, request: PlanRequest) -> Workload:
    """Return the workload. Raises DataError where the data cannot be read and no numbers stand in for it."""
    return read_workload(settings) if request.size is None else expect_workload(settings, request.size)


def read_workload(settings: Settings) -> MeasuredWorkload:
    """Read histories, and texts where towers read them; no image is opened."""
    texts = settings.towers.text_encoders
    try:
        catalogue = read_content(settings, images=())
        split = split_catalogue(catalogue, settings.data)
    except DataError as error:
        raise DataError(f"{error}; or plan from numbers: users=N items=N interactions=N") from error
    caveats = [_NOT_READ] if len(texts) < len(settings.towers.parts) or not texts else []
    lengths: dict[TowerName, npt.NDArray[np.int64]] = {}
    for name, text in texts.items() if settings.strategy.reads_content else ():
        try:
            text.preprocessing(name)  # asks for the tokenizer's files
        except SettingsError as error:
            lengths[name] = np.full(len(split.items), longest_title(text, name))
            caveats.append(f"titles are counted at their longest, {longest_title(text, name)} tokens: {error}")
        else:
            lengths[name] = text.tokenise(split.items.text(text.text) or (), name).lengths()
    return MeasuredWorkload(
        num_items=len(split.items),
        sequence_length=split.sequence_length,
        mean_tokens={name: float(found.mean()) for name, found in lengths.items()},
        origin=f"data: {len(split.test):,} users, {len(split.items):,} items, {split.num_interactions:,} interactions",
        caveats=tuple(caveats),
        windows=split.windows,
        title_lengths=lengths,
        train_counts=split.train_counts,
    )


def expect_workload(settings: Settings, size: DataSize) -> ExpectedWorkload:
    """Expect batches from three numbers."""
    texts = settings.towers.text_encoders if settings.strategy.reads_content else {}
    return ExpectedWorkload(
        num_items=size.items,
        sequence_length=settings.data.sequence_length,
        mean_tokens={name: longest_title(text, name) for name, text in texts.items()},
        origin=f"numbers: {size.users:,} users, {size.items:,} items, {size.interactions:,} interactions",
        caveats=(_EXPECTED,),
        size=size,
        windows=settings.data.windows,
    )


def longest_title(text: PretrainedText, name: TowerName = "text") -> int:
    """Return the tokens of the longest title that the encoder is given."""
    config = text.config(name)
    family = family_of(config)
    if family.attends_to_padding:  # then all titles are padded to this
        return int(config.max_position_embeddings) - family.num_reserved_positions
    return text.max_tokens
