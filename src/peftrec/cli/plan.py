"""`peftrec plan`: what a run, or a set of runs, will cost, before anything is downloaded or trained."""

from peftrec.errors import UserError

HELP = """usage: peftrec plan [-m] [--json] [memory=SIZE] [rate=TFLOPS] [users=N items=N interactions=N]
                    [GROUP=OPTION ...] [KEY=VALUE ...]

  -m            every combination of comma-separated values, and the TPME of the set
  --json        the same figures as JSON, in base units
  memory=24GiB  also find the largest batch that fits, by the order of the first epoch; a store is planned where
                hidden_states.placement=auto would put it in so much memory
  rate=400      also give seconds, at this many TFLOP/s
  users=N ...   in place of the data, which is then not read

  peftrec plan strategy=lora batch_size=256 memory=24GiB
  peftrec plan -m towers=bert_vit_base_random trainer=gpu strategy=full,lora,iisan,iisan_cached \\
      users=12076 items=20314 interactions=81711

Everything else is as in `peftrec train`: the same groups, keys and checks. Weights are never loaded and images never
opened. Towers need their config.json at hand, or towers=bert_vit_base_random. trainer=gpu plans for CUDA anywhere.
A plan is for one device: of several, give it one's share of batch_size. Methods of the peft library that read the
weights which they adapt (ADAMSS, FROD) cannot be planned.
"""
SWEEP_FLAGS = {"-m", "--multirun"}


def main(arguments: list[str]) -> int:
    """Print the plan."""
    flags = {word for word in arguments if word.startswith("-")}
    words = [word for word in arguments if word not in flags]
    if flags & {"-h", "--help"}:
        print(HELP, end="")
        return 0
    if unknown := flags - SWEEP_FLAGS - {"--json"}:
        raise UserError(f"unknown flag {min(unknown)}; see peftrec plan --help")
    from peftrec.planning.request import PlanRequest

    request, overrides = PlanRequest.split(words)
    from peftrec.jobs.sweep import expand_sweep
    from peftrec.settings.composition import compose_settings

    if flags & SWEEP_FLAGS:
        jobs = expand_sweep(overrides)
    else:
        settings = compose_settings(overrides)
        jobs = {settings.strategy_name: settings}
    from peftrec.planning.plan import plan_set
    from peftrec.planning.tables import to_json, to_text

    planned = plan_set(jobs, request)
    print(to_json(planned) if "--json" in flags else to_text(planned), end="")
    return 0
