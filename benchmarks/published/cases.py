"""The rows of the table, by name."""

from functools import partial

from peftrec.strategies.adapter import Adapter
from peftrec.strategies.full import Full
from peftrec.strategies.lora import LoRA
from published import their_models
from published.bench import Case
from published.loss import loss_alone
from published.ranking import evaluation
from published.steps import cached_step, embedded_step, uncached_step
from published.with_reading import cached_step_with_reading

_STEP = "training step with optimizer; inputs on the device"

CASES = {
    "cached_step": Case(
        run=cached_step, timed="training step with optimizer, from the users' ids on; states gathered in memory"
    ),
    "cached_step_as_run": Case(
        run=cached_step_with_reading,
        timed="the same with reading the states, as each program does: a file a place and modality; our store",
    ),
    "cached_step_compiled": Case(
        run=partial(cached_step_with_reading, is_compiled=True),
        timed="the same, ours with trainer.compile=true; compiling is left out",
    ),
    "cached_step_from_disk": Case(
        run=partial(cached_step_with_reading, placement="disk"), timed="the same, our store on the disk too"
    ),
    "cached_step_bf16": Case(
        run=partial(cached_step, in_bfloat16=True),
        timed="the same, ours with trainer.precision=bf16-mixed; theirs knows autocast on CUDA alone",
    ),
    "uncached_iisan": Case(run=uncached_step, timed=_STEP),
    "fft": Case(run=embedded_step(their_models.full_model, Full()), timed=_STEP),
    "adapter": Case(run=embedded_step(their_models.adapter_model, Adapter()), timed=_STEP),
    "lora": Case(run=embedded_step(their_models.lora_model, LoRA()), timed=_STEP),
    "loss": Case(run=loss_alone, timed="loss, forward and backward; both values agree"),
    "evaluation": Case(run=evaluation, timed="from item embeddings to the metrics of all test users; hits agree"),
}
