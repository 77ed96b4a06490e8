"""`peftrec retrieval`: PinnerSage and its baselines on a finished run, by the paper's offline protocol."""

from typing import Any

from peftrec.cli.arguments import JSON, RUN, SWITCH, Composed, Grammar, read_arguments
from peftrec.errors import SettingsError
from peftrec.outputs.safe_text import for_json

HELP = """usage: peftrec retrieval run=RUN_DIR [profile=NAME,NAME,...] [budget=400] [threshold=0.8] [past_days=90]
                         [first_day=DAY] [num_draws=5] [excludes_seen=false] [KEY=VALUE ...] [--json]

Walks every user of the run forward day by day: what came before a day makes queries, each of e queries brings its
floor(budget / e) nearest items, and these are compared with the day's actions. Relevance is the share of actions whose
cosine with a candidate reaches the threshold, recall the share that are candidates. The run's data needs timestamps.

  profile=NAME,...    of conf/profiles/profile; all by default. last_item is always evaluated: lifts are taken over it
  budget=400          candidates a day for all queries together; 400 as in the paper is much of a small catalogue
  past_days=90        forget what is older, as the paper does; by default nothing is
  first_day=DAY       predict from this day on (timestamp / day_length); by default all, and of a run whose data is
                      split by time those of the test period, which neither trained nor chose the epoch
  neighbours=hnsw     by graph instead of exact; the share of exact neighbours found is printed
  KEY=VALUE           for every profile: day_length=86400 (a day in the unit of the timestamps), seed=1
  data.root=DIR       where the run's data lies now, if it was moved
  --json              print JSON alone; its keys: docs/recommending.md

examples:
  peftrec train name=first strategy=iisan_cached trainer.max_epochs=2
  peftrec retrieval run=runs/first/iisan_cached profile=decay_average budget=20"""

PROTOCOL = ("budget", "threshold", "past_days", "first_day", "num_draws", "excludes_seen")
"""Keys of peftrec.profiles.evaluation.Protocol, which takes a while to import."""
GRAMMAR = Grammar(
    verb="retrieval",
    help=HELP,
    flags=frozenset({JSON}),
    keys=(RUN, "profile", *PROTOCOL),
    required={RUN: "RUN_DIR"},
    values={"excludes_seen": SWITCH},
    leaves_others=True,
    composes=Composed(folder="profiles"),
    takes_places=True,
    runs_user_code=True,
    extras={"profiles": "profile=kmeans, which is one of its rows; neighbours=hnsw"},
)


def main(arguments: list[str]) -> int:
    """Print the table."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    run, chosen = given.run, given.own.get("profile")
    from peftrec.results.record import read_finished

    read_finished(run)  # before what takes seconds to import
    from peftrec.config.composition import compose_part
    from peftrec.config.folder import config_directory
    from peftrec.config.instantiate import build_part
    from peftrec.profiles.evaluation import Protocol
    from peftrec.profiles.settings import ProfileSettings
    from peftrec.serving.comparing import BASELINE, compare_profiles

    protocol = build_part(Protocol, {key: read_value(key, given.own[key]) for key in PROTOCOL if key in given.own})
    folder = config_directory() / "profiles" / "profile"
    names = chosen.split(",") if chosen else sorted(path.stem for path in folder.glob("*.yaml"))
    settings = {
        name: compose_part(ProfileSettings, [f"profile={name}", *given.others], folder="profiles")
        for name in dict.fromkeys([BASELINE, *names])
    }
    from peftrec.progress.quiet import quieten_libraries

    quieten_libraries()
    table = compare_profiles(run, settings, protocol, given.places)
    if given.wants_json:
        print(for_json(table.to_json()))
    else:
        print(table.to_text(), end="")
    return 0


def read_value(key: str, text: str) -> Any:
    """Return a value as yaml reads it. Raises SettingsError where it cannot."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{key}={text}: cannot be read ({str(error).splitlines()[0]})") from error
