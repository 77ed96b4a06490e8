"""Silence for messages of libraries that no user can act on."""

import logging
import warnings

from transformers.utils import logging as transformers_logging

_NO_NEWS = (
    # Batches come whole from the dataset and are cheap; `trainer.num_workers` is the user's choice.
    ".*does not have many workers.*",
    # Nor do several processes on one machine make that choice a mistake, though `trainer=ddp` chose for a node of GPUs.
    r"This DataLoader will create \d+ worker processes in total.*",
    # Frozen towers are in eval mode on purpose; `probe.check_modes` asserts which.
    r"Found \d+ module\(s\) in eval mode.*",
    # Resuming into a run's own checkpoint folder is what a run does.
    r"Checkpoint directory .* exists and is not empty.*",
    # Asking for the CPU is what `trainer=cpu` is for.
    r"GPU available but not used.*",
    # All processes log the same validation figures, which a mean over them could only round.
    r"It is recommended to use `self\.log\('val/.*sync_dist=True.*",
    # Lightning 2.6's own call, deprecated by torch.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated.*",
)


def quieten_libraries() -> None:
    """Leave only messages that a user can act on."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in _NO_NEWS:
        warnings.filterwarnings("ignore", message=message)
