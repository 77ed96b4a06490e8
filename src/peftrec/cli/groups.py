"""`peftrec groups run=RUN_DIR`: an adapter a group of users, on a finished run."""

from dataclasses import replace

from peftrec.cli.arguments import RUN, SWITCH, Composed, Grammar, read_arguments
from peftrec.settings.places import is_place_word

HELP = """usage: peftrec groups run=RUN_DIR [number=8] [KEY=VALUE ...] [data.root=DIR]

Divides the users of a finished run into groups by what they did in training, trains for each group the strategy's part
and the projections on that group's users alone, from the run's weights on, and ranks each test user by the group's
items. The user encoder is shared and stays. Writes groups/NUMBER-HASH in the run's folder and prints the run beside all
divisions of its users: quality, and what serving takes. Trained groups are not trained again; killed ones resume.

  run=RUN_DIR     the run's folder, or its name without the hash
  number=8        how many groups; number=1 trains the run on for everybody: what the same epochs bring without groups
  epochs=20       of each group at most; the run's evaluation.patience may stop earlier
  seed=1          of the clusters
  negatives=group what an objective puts beside a batch is of the group's items alone; by default as it says
  adapters=true   also write each group's towers as adapter folders of peft (adapters/text/1, ...), for `AdapterBank`
  data.root=DIR   where the run's data lies now, if it moved; so for towers.*.checkpoint and hidden_states.directory

examples:
  peftrec train name=first strategy=iisan_cached trainer.max_epochs=2
  peftrec groups run=runs/first/iisan_cached number=2 epochs=2
  peftrec groups run=runs/first/iisan_cached number=1 epochs=2
  peftrec train name=first strategy=lora trainer.max_epochs=2
  peftrec groups run=runs/first/lora number=2 epochs=1 adapters=true
"""
ADAPTERS = "adapters"
GRAMMAR = Grammar(
    verb="groups",
    help=HELP,
    keys=(RUN, ADAPTERS),
    values={ADAPTERS: SWITCH},
    required={RUN: "RUN_DIR"},
    leaves_others=True,
    composes=Composed(folder="groups"),
    needs_words=True,
    runs_user_code=True,
    extras={"profiles": "all of it (k-means)"},
)


def main(arguments: list[str]) -> int:
    """Divide, train, rank, and print the table."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    from peftrec.results.record import read_finished

    run = given.run
    read_finished(run)  # before what takes seconds to import
    from peftrec.config.composition import compose_part
    from peftrec.config.instantiate import describe_part
    from peftrec.user_groups.settings import GroupsSettings

    places = [word for word in given.others if is_place_word(word)]
    words = [word for word in given.others if word not in places]
    settings = replace(compose_part(GroupsSettings, [f"{RUN}={run}", *words], folder="groups"), run=str(run))
    from peftrec.results.divisions_table import to_markdown
    from peftrec.user_groups.experiment import groups_of_run

    if writes_adapters := given.switch(ADAPTERS):
        from peftrec.user_groups.adapters import check_adapted

        check_adapted(run, places)  # before anything is trained in vain
    folder = groups_of_run(settings, describe_part(settings, GroupsSettings), places)
    print(f"written: {folder}")
    if writes_adapters:
        from peftrec.user_groups.adapters import write_adapters

        print(f"adapters: {write_adapters(run, folder, places)}")
    print()
    print(to_markdown(run, folder), end="")
    return 0
