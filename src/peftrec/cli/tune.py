"""`peftrec tune`: the same budget of trials for all that is compared, chosen by validation, then trained."""

from peftrec.cli.arguments import RUN_SETTINGS, SWITCH, Grammar, read_arguments

HELP = """usage: peftrec tune strategy=A,B,... [user_encoder=C,D,...] [objective=E,F,...]
                    budget.trials=N|budget.seconds=S [final_seeds=1,2,3] [--dry-run]
                    [slots=N] [hours=H] [sampler=random|tpe] [pruner=halving|none] [KEY=VALUE ...]

Gives every strategy the same budget: as many trials, or training seconds. Its defaults and published rates are always
tried, the others are drawn from search/STRATEGY.yaml. The best setting, by validation alone, is trained over
final_seeds and reported. A tuning that was stopped, however that was, goes on with the same command.

Where several user encoders or objectives are listed too, every combination with every strategy is tuned by itself,
with that budget each; what search/user_encoder/NAME.yaml and search/objective/NAME.yaml say of them is then tuned too.

  budget.trials=20     trials of each strategy, or combination
  budget.seconds=3600  or training seconds of each
  final_seeds=1,2,3    seeds of the runs that the table is made of
  trial_seed=0         seed of the trials; none of the final ones
  pruner=halving       every second drawn trial may be stopped early by successive halving; none stops nothing
  sampler=random       who draws those: random, or tpe
  slots=N              trials at a time; one for each visible CUDA device, or one
  hours=H              begin no trial after so long; the same command goes on
  item_knn=true        tune item-kNN too, which needs no training
  --dry-run            say jobs, hours and bytes, and start nothing
  --config-dir DIR     DIR/search/lora.yaml is the space of strategy=lora, beside what `peftrec train` takes from DIR

examples:
  peftrec tune name=tuned strategy=frozen_cached,iisan_cached budget.trials=4 final_seeds=1 trainer.max_epochs=2 \\
      --dry-run
  peftrec tune name=tuned strategy=full,lora,iisan_cached experiment=quickstart budget.trials=16 --dry-run
  peftrec tune name=tuned_readers strategy=id,iisan_cached user_encoder=sasrec,ligr budget.trials=8 --dry-run

Other keys are those of `peftrec train` and hold for every trial; what they fix is not tuned. Trials lie in
RUNS_DIR/NAME/trials, what was learnt in RUNS_DIR/NAME/tuning, and best settings in tuning/best, which
`peftrec train --config-dir RUNS_DIR/NAME/tuning/best strategy=lora ...` takes; of a combination with its user encoder
and objective: strategy=id user_encoder=ligr.
"""
DRY_RUN = "--dry-run"
GRAMMAR = Grammar(
    verb="tune",
    help=HELP,
    flags=frozenset({DRY_RUN}),
    leaves_others=True,
    composes=RUN_SETTINGS,
    beside=(
        *("budget.trials", "budget.seconds", "final_seeds", "trial_seed", "sampler", "sampler_seed", "pruner", "slots"),
        *("hours", "measure", "item_knn"),
    ),
    values={"pruner": ("halving", "none"), "sampler": ("random", "tpe"), "item_knn": SWITCH},
    extras={"tune": "trials"},
    needs_words=True,
    runs_user_code=True,
)


def main(arguments: list[str]) -> int:
    """Tune; 0 where all that is compared has a table row."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    from peftrec.tuning.tuning import forecast_tuning, tune

    if DRY_RUN in given.flags:
        print(forecast_tuning(given.others), end="")
        return 0
    return tune(given.others)
