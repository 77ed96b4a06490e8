"""What a record says of the start of a run: which runs of one seed began with one user encoder."""

import itertools
from pathlib import Path
from typing import Any

import torch

from peftrec.settings.run import settings_from_config
from peftrec.training.building.assembly import assemble
from peftrec.training.building.reading import prepare_data
from peftrec.training.run.run_record import describe_parameters
from small_runs import small_config


def start_of(folder: Path, strategy: str, **changes: Any) -> tuple[str | None, bytes]:
    """Build a strategy's model; return what its record would say of the user encoder, and its values."""
    settings = settings_from_config(small_config(folder, strategy, **changes))
    module = assemble(settings, prepare_data(settings), torch.device("cpu")).module
    told = describe_parameters(module.parameter_roles, dict(module.loop.learning_rates)).user_encoder_start
    values = [value.detach().numpy().tobytes() for value in module.recommender.user_encoder.parameters()]
    return told, b"".join(values)


def test_it_is_shared_where_the_values_are(tmp_path: Path) -> None:
    """Live and stored variants start alike; strategies that draw more or less before do not, nor do other seeds."""
    starts = {name: start_of(tmp_path, name) for name in ("iisan", "iisan_cached", "lora", "id")}
    starts["another seed"] = start_of(tmp_path, "iisan", seed=2)
    for one, other in itertools.combinations(starts, 2):
        is_shared = {one, other} == {"iisan", "iisan_cached"}
        assert (starts[one][0] == starts[other][0]) == is_shared == (starts[one][1] == starts[other][1])
