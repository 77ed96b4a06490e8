"""`peftrec retrieval`: PinnerSage and its baselines on a finished run, by the paper's offline protocol."""

import json

HELP = """usage: peftrec retrieval run=RUN_DIR [profile=NAME,NAME,...] [budget=400] [threshold=0.8] [past_days=90]
                         [first_day=DAY] [num_draws=5] [excludes_seen=false] [KEY=VALUE ...] [--json]

Walks every user of the run forward day by day: what came before a day makes queries, each of e queries brings its
floor(budget / e) nearest items, and these are compared with the day's actions. Relevance is the share of actions whose
cosine with a candidate reaches the threshold, recall the share that are candidates. The run's data needs timestamps.

  profile=NAME,...    of conf/profiles/profile; all by default. last_item is always evaluated: lifts are taken over it
  budget=400          candidates a day for all queries together; 400 as in the paper is much of a small catalogue
  past_days=90        forget what is older, as the paper does; by default nothing is
  first_day=DAY       predict from this day on (timestamp / day_length), for example the first that did not train
  neighbours=hnsw     by graph instead of exact; the share of exact neighbours found is printed
  KEY=VALUE           for every profile: day_length=86400 (a day in the unit of the timestamps), seed=1
  --json              print JSON alone"""


def main(arguments: list[str]) -> int:
    """Print the table."""
    if set(arguments) & {"-h", "--help"}:
        print(HELP)
        return 0
    from peftrec.cli.arguments import take_json_flag
    from peftrec.cli.retrieval_request import RetrievalRequest
    from peftrec.config.composition import compose_part
    from peftrec.config.folder import config_directory
    from peftrec.config.instantiate import build_part, fields_of
    from peftrec.profiles.evaluation import Protocol
    from peftrec.profiles.settings import ProfileSettings
    from peftrec.serving.comparing import BASELINE, compare_profiles

    words, wants_json = take_json_flag(arguments, verb="retrieval")
    request = RetrievalRequest.split(words, tuple(fields_of(Protocol)))
    protocol = build_part(Protocol, request.protocol)
    folder = config_directory() / "profiles" / "profile"
    names = request.profiles or sorted(path.stem for path in folder.glob("*.yaml"))
    settings = {
        name: compose_part(ProfileSettings, [f"profile={name}", *request.overrides], folder="profiles")
        for name in dict.fromkeys([BASELINE, *names])
    }
    from peftrec.progress.quiet import quieten_libraries

    quieten_libraries()
    table = compare_profiles(request.run, settings, protocol)
    if wants_json:
        print(json.dumps(table.to_json(), indent=2))
    else:
        print(table.to_text(), end="")
    return 0
