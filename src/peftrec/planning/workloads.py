"""From settings to a workload: the data's own sizes, or the numbers given in its place."""

import numpy as np

from peftrec.data.split import split_catalogue
from peftrec.errors import DataError, SettingsError
from peftrec.models.towers.families import family_of
from peftrec.planning.batches import ExpectedWorkload, MeasuredWorkload, Workload
from peftrec.planning.request import DataSize, PlanRequest
from peftrec.settings.run import Settings
from peftrec.towers.pretrained import PretrainedText

_NOT_READ = "images and ready features are not looked at: items that their policies would drop are counted"
_EXPECTED = (
    "items are taken as equally popular and titles at their longest, the most that a batch can be expected to hold"
)


def find_workload(settings: Settings, request: PlanRequest) -> Workload:
    """Return the workload. Raises DataError where the data cannot be read and no numbers stand in for it."""
    return read_workload(settings) if request.size is None else expect_workload(settings, request.size)


def read_workload(settings: Settings) -> MeasuredWorkload:
    """Read histories, and titles where a text tower reads them; no image is opened."""
    text = settings.towers.text_encoder
    try:
        catalogue = settings.data.read(text=text is not None, images=False)
        split = split_catalogue(catalogue, settings.data)
    except DataError as error:
        raise DataError(f"{error}; or plan from numbers: users=N items=N interactions=N") from error
    caveats = [_NOT_READ] if set(settings.towers.modalities) - {"text"} or text is None else []
    lengths = np.zeros(len(split.items), dtype=np.int64)
    if text is not None and split.items.titles is not None and settings.strategy.reads_content:
        try:
            text.preprocessing()  # asks for the tokenizer's files
        except SettingsError as error:
            lengths += longest_title(text)
            caveats.append(f"titles are counted at their longest, {longest_title(text)} tokens: {error}")
        else:
            lengths = text.tokenise(split.items.titles).lengths()
    return MeasuredWorkload(
        num_items=len(split.items),
        sequence_length=split.sequence_length,
        title_words=float(lengths.mean()),
        origin=f"data: {len(split.test):,} users, {len(split.items):,} items, {split.num_interactions:,} interactions",
        caveats=tuple(caveats),
        windows=split.windows,
        title_lengths=lengths,
        train_counts=split.train_counts,
    )


def expect_workload(settings: Settings, size: DataSize) -> ExpectedWorkload:
    """Expect batches from three numbers."""
    text = settings.towers.text_encoder if settings.strategy.reads_content else None
    return ExpectedWorkload(
        num_items=size.items,
        sequence_length=settings.data.sequence_length,
        title_words=0 if text is None else longest_title(text),
        origin=f"numbers: {size.users:,} users, {size.items:,} items, {size.interactions:,} interactions",
        caveats=(_EXPECTED,),
        size=size,
        windows=settings.data.windows,
    )


def longest_title(text: PretrainedText) -> int:
    """Return the tokens of the longest title that the encoder is given."""
    config = text.config("text")
    family = family_of(config)
    if family.attends_to_padding:  # then all titles are padded to this
        return int(config.max_position_embeddings) - family.num_reserved_positions
    return text.max_tokens
