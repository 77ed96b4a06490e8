"""`peftrec recommend`: the best items for a user of a finished run, or for a history of items, and why; and for many
users, in a file."""

import csv
from dataclasses import asdict
from pathlib import Path

from peftrec.cli import recommend_users
from peftrec.cli.arguments import JSON, SWITCH, Arguments, Composed, Grammar, read_arguments
from peftrec.errors import SettingsError, did_you_mean
from peftrec.outputs.safe_text import for_json
from peftrec.serving.content_weight import CONTENT_NEIGHBOURS, VALUES, content_weight
from peftrec.serving.recommend_request import RecommendRequest

GROUPS = "groups"
KEYS = ("run", "user", "items", "k", "candidates", "seen", GROUPS, CONTENT_NEIGHBOURS, *recommend_users.KEYS)
_PROFILE_KEYS = ("profile", "neighbours", "day_length", "seed")

HELP = """usage: peftrec recommend run=RUN_DIR user=ID|items=[ID,ID,...] [k=10] [seen=true] [candidates=FILE] [--json]
                         [content_neighbours=auto|off|WEIGHT] [groups=NUMBER]
                         [profile=NAME [profile.KEY=VALUE ...] [neighbours=hnsw] [day_length=86400] [seed=1]]
       peftrec recommend run=RUN_DIR users=FILE|all to=FILE.parquet [k=10] [seen=true] [candidates=FILE]
                         [content_neighbours=auto|off|WEIGHT] [unknown=error|skip] [overwrite=true] [--json]

  run=RUN_DIR      the run's folder, runs/first/lora-0123456789ab; runs/first/lora where one run alone is called so
  user=ID          one of the run's users, after everything that the data holds of them
  items=[ID,...]   a history without a user, oldest first
  k=10             how many
  seen=true        also what the history holds already
  candidates=FILE  .csv or .tsv of new items to rank as well, known from title and image alone: columns item, title
                   (all of the text, where the run reads several columns), image (a path below the file's folder) and
                   further texts under their names, as the run's towers need
  content_neighbours=auto
                   add to a user's scores how like the last item each item is to the frozen towers, at the weight that
                   the run's validation chooses, which is said: where training left cold items behind, this finds them;
                   a number is the weight itself; peftrec evaluate says what it changes on test
  groups=NUMBER    by the weights of the user's group, of a finished division (peftrec groups); who is in none is
                   answered by the run's own; of several divisions with that number name the folder in RUN_DIR/groups
  profile=NAME     ask the interests of a profile (pinnersage, kmeans, decay_average, last_item, ...) in place of the
                   run's user encoder; its fields are in conf/profiles/profile
  data.root=DIR    where the run's data lies now, if it was moved; so for towers.*.checkpoint, hidden_states.directory
  --json           print JSON alone; its keys: docs/recommending.md

  users=FILE       many users at once: text with an id a line, below a line user or without, or a .csv, .tsv or .parquet
                   with a column user; all for everybody whom the run's data holds
  to=FILE.parquet  where their lists go: columns user, rank, item, score; whole or not at all
  unknown=skip     leave users out whom the run does not know, and say how many
  overwrite=true   replace a file of before

Beside each item stand its score and the items of the history whose embeddings have the largest dot products with its
own. With a profile all vectors have length one and scores are cosines with the interest that brought the item.

examples:
  peftrec train name=first strategy=iisan_cached trainer.max_epochs=2
  peftrec recommend run=runs/first/iisan_cached user=user00061 k=5
  peftrec recommend run=runs/first/iisan_cached user=user00061 content_neighbours=auto
  peftrec recommend run=runs/first/iisan_cached items=[item00318,item00527] profile=pinnersage profile.selection=top
  peftrec recommend run=runs/first/iisan_cached users=all to=all.parquet k=20 overwrite=true"""

GRAMMAR = Grammar(
    verb="recommend",
    help=HELP,
    flags=frozenset({JSON}),
    keys=KEYS,
    values={"seen": SWITCH, **recommend_users.VALUES},
    among={CONTENT_NEIGHBOURS: VALUES},
    leaves_others=True,
    composes=Composed(folder="profiles"),
    takes_places=True,
    runs_user_code=True,
    extras={"profiles": "profile=kmeans, neighbours=hnsw"},
)


def main(arguments: list[str]) -> int:
    """Print the recommendations."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    if "users" in given.own:
        return recommend_users.main(given, k=_count(given.own.get("k", "10")))
    request = request_of(given)
    from peftrec.config.composition import compose_part
    from peftrec.profiles.settings import ProfileSettings

    words = request.profile_words
    settings = compose_part(ProfileSettings, words, folder="profiles") if words else None
    from peftrec.results.record import read_finished

    read_finished(request.run)  # before what takes seconds to import
    from peftrec.progress.quiet import quieten_libraries
    from peftrec.serving.recommending import recommend

    quieten_libraries()
    if GROUPS in given.own:
        from peftrec.user_groups.answering import group_of, run_of_group
        from peftrec.user_groups.named_division import named_division

        folder = named_division(request.run, given.own[GROUPS])
        group = group_of(folder, request.user)
        answer = recommend(
            request, settings, loaded=run_of_group(request.run, folder, group, request.places), group=group
        )
    else:
        answer = recommend(request, settings)
    if given.wants_json:
        print(for_json(asdict(answer)))
    else:
        print(answer.to_text(), end="")
    return 0


def request_of(given: Arguments) -> RecommendRequest:
    """Read the words. Raises SettingsError for one that is missing, unknown, or has no such value."""
    own, others = given.own, given.others
    for word in others:
        _check_profile_word(word)
    if others and not any(word.startswith("profile=") for word in others):
        raise SettingsError(f"{others[0]} describes a profile: choose one, for example profile=pinnersage")
    if "run" not in own:
        raise SettingsError("run is required: set run=RUN_DIR")
    if ("user" in own) == ("items" in own):
        raise SettingsError("give one of user=ID, users=FILE and items=[ID,ID,...]")
    if of_many := [key for key in recommend_users.KEYS if key in own]:
        raise SettingsError(f"{of_many[0]}= goes with users=FILE; leave it out, or set users=FILE")
    weight = content_weight(own)
    if others and weight != "off":
        raise SettingsError(
            f"{CONTENT_NEIGHBOURS}={own[CONTENT_NEIGHBOURS]}: they count beside the scores of the run's user encoder, "
            "which a profile replaces; leave one of the two out"
        )
    if GROUPS in own and weight != "off":
        raise SettingsError(
            f"{CONTENT_NEIGHBOURS}={own[CONTENT_NEIGHBOURS]}: their weight is chosen by all validation users, and "
            f"{GROUPS}={own[GROUPS]} ranks each by the own group; leave one of the two out"
        )
    return RecommendRequest(
        run=given.run,
        user=own.get("user"),
        items=_ids(own["items"]) if "items" in own else (),
        k=_count(own.get("k", "10")),
        candidates=Path(own["candidates"]) if "candidates" in own else None,
        keeps_seen=given.switch("seen"),
        content_neighbours=weight,
        places=given.places,
        profile_words=tuple(others),
    )


def _check_profile_word(word: str) -> None:
    """Let pass what may be a key of `conf/profiles`, which composition then checks."""
    key = word.partition("=")[0]
    if key.partition(".")[0] in _PROFILE_KEYS:
        return
    known = (*KEYS, *_PROFILE_KEYS)
    raise SettingsError(f"{word}: {did_you_mean(key, known, otherwise='unknown; see peftrec recommend --help')}")


def _ids(text: str) -> tuple[str, ...]:
    """Read `[1,2]` or `1,2`; an id with a comma stands in double quotes. Ids are text: 007 is not 7."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    ids = tuple(item.strip() for item in next(csv.reader([inner], skipinitialspace=True), []))
    if not ids or not all(ids):
        raise SettingsError(f"items={text}: expected ids with commas between them, for example items=[318,527]")
    return ids


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"k={text}: expected a whole number from 1")
    return int(text)
