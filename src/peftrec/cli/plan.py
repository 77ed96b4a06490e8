"""`peftrec plan`: what a run, or a set of runs, will cost, before anything is downloaded or trained."""

from peftrec.cli.arguments import JSON, RUN_SETTINGS, SWEEP, Grammar, read_arguments
from peftrec.planning.request import KEYS, PlanRequest

HELP = """usage: peftrec plan [-m] [--json] [memory=SIZE] [rate=TFLOPS] [users=N items=N interactions=N]
                    [GROUP=OPTION ...] [KEY=VALUE ...]

  -m            every combination of comma-separated values, and the TPME of the set
  --json        the same figures as JSON, one entry of plans a run: peak_bytes, memory_bytes and exact_bytes in bytes;
                step_operations and epoch_operations in floating-point operations; seconds_per_epoch in seconds, null
                without rate=; trainable_parameters, batches, store, largest_batch. All keys: docs/planning.md
  memory=24GiB  say first whether it fits, and the largest batch that does, by the order of the first epoch; what does
                not is planned with gradient checkpointing too, where towers train. A store is planned where
                hidden_states.placement=auto would put it in so much memory
  rate=400      also give seconds, at this many TFLOP/s
  users=N ...   in place of the data, which is then not read

examples:
  peftrec plan strategy=lora batch_size=256 memory=24GiB
  peftrec plan -m towers=bert_vit_base_random trainer=gpu strategy=full,lora,iisan,iisan_cached memory=24GiB \\
      users=12076 items=20314 interactions=81711

Everything else is as in `peftrec train`: the same groups, keys and checks. Weights are never loaded and images never
opened. Of checkpoints on the hub the small files alone are fetched (config, tokenizer, image processor);
towers=bert_vit_base_random needs none. trainer=gpu plans for CUDA anywhere. A plan is for one device: of several, give
it one's share of batch_size. Methods of the peft library that read the weights which they adapt (ADAMSS, FROD) cannot
be planned.
"""
GRAMMAR = Grammar(
    verb="plan",
    help=HELP,
    flags=SWEEP | {JSON},
    keys=KEYS,
    leaves_others=True,
    composes=RUN_SETTINGS,
    runs_user_code=True,
)


def main(arguments: list[str]) -> int:
    """Print the plan."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    request = PlanRequest.of(given.own)
    from peftrec.jobs.sweep import expand_sweep
    from peftrec.settings.composition import compose_settings

    if given.is_sweep:
        jobs = expand_sweep(given.others)
    else:
        settings = compose_settings(given.others)
        jobs = {settings.strategy_name: settings}
    from peftrec.progress.quiet import quieten_libraries

    quieten_libraries()
    from peftrec.planning.plan import plan_set
    from peftrec.planning.tables import to_json, to_text

    planned = plan_set(jobs, request)
    print(to_json(planned) if given.wants_json else to_text(planned), end="")
    return 0
