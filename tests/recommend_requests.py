"""What `peftrec recommend` is asked, from its words."""

from collections.abc import Sequence
from dataclasses import replace

from peftrec.cli.arguments import read_arguments
from peftrec.cli.recommend import GRAMMAR, request_of
from peftrec.serving.recommend_request import RecommendRequest


def read_request(words: Sequence[str]) -> RecommendRequest:
    """Return the request of a command line."""
    given = read_arguments(replace(GRAMMAR, runs_user_code=False), words)
    assert given is not None
    return request_of(given)
