"""`peftrec recommend`: the best items for a user of a finished run, or for a history of items, and why."""

import json
from dataclasses import asdict

HELP = """usage: peftrec recommend run=RUN_DIR user=ID|items=[ID,ID,...] [k=10] [seen=true] [candidates=FILE] [--json]
                         [profile=NAME [profile.KEY=VALUE ...] [neighbours=hnsw] [day_length=86400] [seed=1]]

  user=ID          one of the run's users, after everything that the data holds of them
  items=[ID,...]   a history without a user, oldest first
  k=10             how many
  seen=true        also what the history holds already
  candidates=FILE  .csv or .tsv of new items to rank as well, known from title and image alone: columns item, title
                   (all of the text, where the run reads several columns) and image (a path below the file's folder),
                   as the run's towers need
  profile=NAME     ask the interests of a profile (pinnersage, kmeans, decay_average, last_item, ...) in place of the
                   run's user encoder; its fields are in conf/profiles/profile
  --json           print JSON alone

  peftrec recommend run=runs/default/iisan-0123456789ab user=user00061 k=5
  peftrec recommend run=RUN_DIR items=[item00318,item00527] profile=pinnersage profile.selection=top

Beside each item stand its score and the items of the history whose embeddings have the largest dot products with its
own. With a profile all vectors have length one and scores are cosines with the interest that brought the item."""


def main(arguments: list[str]) -> int:
    """Print the recommendations."""
    if set(arguments) & {"-h", "--help"}:
        print(HELP)
        return 0
    from peftrec.serving.recommend_request import RecommendRequest
    from peftrec.words import take_json_flag

    own, wants_json = take_json_flag(arguments, verb="recommend")
    request = RecommendRequest.split(own)
    from peftrec.composition import compose_part
    from peftrec.profiles.settings import ProfileSettings

    words = request.profile_words
    settings = compose_part(ProfileSettings, words, folder="profiles") if words else None
    from peftrec.serving.recommending import recommend
    from peftrec.training.session import quieten_libraries

    quieten_libraries()
    answer = recommend(request, settings)
    if wants_json:
        print(json.dumps(asdict(answer), indent=2, ensure_ascii=False))
    else:
        print(answer.to_text(), end="")
    return 0
