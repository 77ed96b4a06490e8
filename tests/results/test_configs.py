"""Keys of configurations, shortened for labels."""

from peftrec.results.configs import short_keys


def test_keys_are_as_short_as_they_can_be_told_apart() -> None:
    assert short_keys(["user_encoder.norm", "strategy.rank", "seed"]) == {
        "user_encoder.norm": "norm",
        "strategy.rank": "rank",
        "seed": "seed",
    }
    assert short_keys(["towers.text.pooling", "towers.image.pooling", "pooling"]) == {
        "towers.text.pooling": "text.pooling",
        "towers.image.pooling": "image.pooling",
        "pooling": "pooling",
    }
    assert short_keys(["user_encoder", "user_encoder.norm", "item.norm"]) == {
        "user_encoder": "user_encoder",
        "user_encoder.norm": "user_encoder.norm",
        "item.norm": "item.norm",
    }
