"""Whatever stands on a command line, it is composed or is one error that names the word, never another exception."""

import random

import pytest

from peftrec.errors import SettingsError
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings

pytestmark = pytest.mark.integration

QUICK, LONG = 40, 3_000
WORDS = (
    *("strategy=lora", "strategy=iisan_cached", "strategy.rank=4", "strategy.alpha=8", "strategy.target=[query,value]"),
    *(
        "data=synthetic",
        "data.num_users=64",
        "data.num_items=100",
        "data.split=leave_one_out",
        "data.sequence_length=10",
    ),
    *(
        "towers=tiny",
        "towers.text.max_tokens=16",
        "towers.image=null",
        "user_encoder=sasrec",
        "user_encoder.num_layers=2",
    ),
    *("seed=3", "batch_size=32", "learning_rates=uniform", "learning_rates.text=1e-4", "trainer.max_epochs=2"),
    *("trainer.precision=32-true", "trainer.devices=1", "evaluation.monitor=ndcg@10", "evaluation.patience=2"),
    *("experiment=quickstart", "name=mine", "runs_dir=runs", "logger=csv", "objective=in_batch", "reuse=same_code"),
)
ODD = (
    *("", "null", "nan", "-1", "0", "1e400", "99999999999999999999", "true", "[]", "{}", "{a:1}", "[1", "'", '"', "~"),
    *(
        "${name}",
        "${oc.env:HOME}",
        "${",
        "é",
        "\x1b[2J",
        "a b",
        "../..",
        "a,b",
        "1.5",
        ".",
        "@",
        "choice(1,2)",
        "\\",
        "\n",
    ),
)


def mutated(word: str, chance: random.Random) -> str:
    """Change the key, the value, or any character of `key=value`."""
    key, _, value = word.partition("=")
    kind = chance.randrange(6)
    if kind == 0:
        return f"{key}={chance.choice(ODD)}"
    if kind == 1:
        return f"{key}={chance.choice(WORDS).partition('=')[2]}"
    if kind == 2:
        return f"{chance.choice(['+', '~', '++', '@', 'hydra.', 'data@'])}{word}"
    if kind == 3:
        return f"{key}.{chance.choice(['x', '_target_', '0', ''])}={value}"
    place = chance.randrange(len(word) + 1)
    return word[:place] + chance.choice([*ODD, word]) + word[place + chance.choice([0, 1, 2]) :]


@pytest.mark.parametrize("rounds", [QUICK, pytest.param(LONG, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_odd_words_are_settings_or_one_error(rounds: int) -> None:
    refused = 0
    for number in range(rounds):
        chance = random.Random(number)
        words = [mutated(chance.choice(WORDS), chance), *chance.sample(WORDS, 2)]
        try:
            assert isinstance(compose_settings(words), Settings)
        except SettingsError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"round {number}, {words}: {type(error).__name__}: {error}") from error
    assert 0 < refused < rounds
