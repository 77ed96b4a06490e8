"""What `peftrec recommend` is asked, from its words."""

from collections.abc import Sequence

from peftrec.cli.arguments import JSON, Grammar, read_arguments
from peftrec.cli.recommend import KEYS, request_of
from peftrec.serving.recommend_request import RecommendRequest


def read_request(words: Sequence[str]) -> RecommendRequest:
    """Return the request of a command line."""
    grammar = Grammar(verb="recommend", help="", flags=frozenset({JSON}), keys=KEYS, leaves_others=True)
    given = read_arguments(grammar, words)
    assert given is not None
    return request_of(given)
