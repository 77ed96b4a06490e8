"""Every mistake on the command line or in yaml is one SettingsError that says what to write instead."""

from pathlib import Path
from shutil import copytree

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra

from peftrec.config import choices, other_names
from peftrec.config.composition import NEEDED
from peftrec.config.folder import config_directory
from peftrec.errors import SettingsError
from peftrec.jobs.sweep import expand_sweep
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import settings_from_config, settings_to_config

DATA = ["data=iisan", "data.root=somewhere"]


def refusal(*overrides: str, config_dir: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        compose_settings([*DATA, *overrides], config_dir=config_dir)
    return str(caught.value)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A copy of the configuration folder that a test may spoil."""
    return copytree(config_directory(), tmp_path / "conf")


def test_values_from_command_line_yaml_and_class() -> None:
    settings = compose_settings([*DATA, "strategy=lora", "strategy.rank=4", "strategy.sites=[query,key]", "seed=7"])
    assert settings.strategy_name == "lora"
    assert settings.seed == 7
    assert settings.hidden_states.directory == "runs/hidden_states"
    strategy = settings_to_config(settings)["strategy"]
    assert isinstance(strategy, dict)
    assert (strategy["rank"], strategy["sites"], strategy["dropout"]) == (4, ["query", "key"], 0.0)


def test_recorded_config_rebuilds_the_settings() -> None:
    settings = compose_settings([*DATA, "strategy=iisan_cached", "towers.image=null"])
    config = settings_to_config(settings)
    assert settings_from_config(config) == settings
    assert settings_to_config(settings_from_config(config)) == config


BLOCKS = "strategy.blocks: expected all, the uppermost by number, top_2, or a list, [2,3]"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["strategy=lora", "stratgy.rank=3"], "unknown key stratgy.rank; did you mean strategy.rank?"),
        (["strategy=lora", "+strategy.rnk=3"], "unknown key strategy.rnk; did you mean strategy.rank?"),
        (["strategy=lora", "rank=3"], "unknown key rank; write strategy.rank=3"),
        (["+strategy.foo=1", "strategy=id"], "unknown key strategy.foo; the keys of strategy are states"),
        (["stratgy=lora"], "unknown key stratgy; did you mean strategy?"),
        (["strategy=lroa"], "strategy=lroa: no such option; did you mean lora? available: adalora, adapter,"),
        (["strategy=LoRA"], "strategy=LoRA: no such option; did you mean lora? available: adalora, adapter,"),
        (["strategy=lora", "Strategy.Rank=3"], "unknown key Strategy.Rank; did you mean strategy.rank?"),
        ([f"name={'a' * 256}"], "name: expected a name of at most 255 characters, got 256; shorten it"),
        (["runs_dir="], 'runs_dir: expected text with at least 1 character, got ""'),
        (["strategy=mine"], "; one of your own is a file DIR/strategy/mine.yaml, and DIR is named by --config-dir DIR"),
        (["experiment=quikstart"], "experiment=quikstart: no such option; did you mean quickstart? available:"),
        (["learning_rates=paper/lroa"], "learning_rates=paper/lroa: no such option; did you mean paper/lora?"),
        (["strategy=lora", "strategy.rank=abc"], 'strategy.rank: expected an integer, got "abc"'),
        (["seed=x"], 'seed: expected an integer, got "x"'),
        ([f"seed={'9' * 5000}"], "seed: expected a number that a record can hold"),
        (["strategy=lora", f"strategy.rank={2**63}"], "strategy.rank: expected a number that a record can hold"),
        (["name=a/b"], "name: expected a name for a folder, of letters, digits, dots, dashes and underscores"),
        (["data.root=???"], "data.root is required: set data.root=DIR"),
        (["name=${nowhere}"], "name: Interpolation key 'nowhere' not found"),
        (["strategy"], "cannot read 'strategy'"),
        (["strategy.layers=[1,2"], "write KEY=VALUE"),
        (["seed=range(3)"], "several values make a sweep: add -m, or quote a value with commas: seed='\"...\"'"),
        (["logger=wandb,csv"], "several values make a sweep: add -m, or take them together: 'logger=[wandb,csv]'"),
        (["strategy=lora", "strategy.blocks=topp_2"], f'{BLOCKS}, got "topp_2"; did you mean top_2?'),
        (["strategy=lora", "strategy.blocks=2"], f"{BLOCKS}, got 2; did you mean top_2?"),
        (["strategy=lora", "strategy.blocks=none"], f'{BLOCKS}, got "none"'),
        (["strategy=lora", "strategy.blocks=[top_2]"], f'{BLOCKS}, got ["top_2"]'),
        (["trainer.precision=bf16"], "trainer.precision=bf16: write trainer.precision=bf16-mixed"),
        (["trainer.precision=16"], "trainer.precision=16: write trainer.precision=16-mixed"),
        (["trainer.accelerator=cuda"], "trainer.accelerator=cuda: write trainer.accelerator=gpu"),
        (["trainer=5"], "trainer=5: trainer is a choice among yaml files"),
        (["strategy=null"], "strategy=null: strategy is a choice among yaml files"),
        (["strategy=[lora,full]"], "strategy is a choice among yaml files"),
        (["strategy_name=x"], "strategy_name is filled in"),
        (["~nowhere"], "~nowhere: there is nothing to take away"),
        (["strategy._target_=peftrec.nowhere.X"], "strategy._target_: cannot import"),
        (
            ["strategy._target_=peftrec.settings.run.Settings"],
            "expected a class derived from peftrec.strategies.base.S",
        ),
        (["towers.text=null", "towers.image=null"], "towers.text and towers.image are both null"),
        (
            ["strategy=lora", "strategy.states=store"],
            "strategy: states=store: strategy.blocks=all leaves no part",
        ),
    ],
)
def test_mistakes_on_the_command_line(overrides: list[str], message: str) -> None:
    assert message in refusal(*overrides)


@pytest.mark.parametrize("guess", ["csv", "tsv", "JSONL", "own-data"])
def test_a_format_of_own_tables_is_answered_with_the_option_that_reads_them(guess: str) -> None:
    own = r"tables of your own \(CSV, TSV or Parquet\) are data=table data.root=FOLDER"
    with pytest.raises(SettingsError, match=f"^data={guess}: no such option; {own}; available: amazon_2014, "):
        compose_settings([f"data={guess}"])


def test_guesses_of_an_option_are_answered_with_one_that_there_is() -> None:
    for group, others in other_names._GUESSES.items():
        assert set(others) <= {*choices.options()[group]}, "the answer composes"
        words = [word for guesses in others.values() for word in guesses.split()]
        assert len(words) == len({*words} - {*choices.options()[group]}), "each means one option, and is none itself"
    assert refusal("strategy=fine-tuning").startswith("strategy=fine-tuning: no such option; write strategy=full; ")
    assert refusal("trainer=cuda").startswith("trainer=cuda: no such option; write trainer=gpu; available: cpu, ")


def test_several_options_of_a_group_are_a_sweep_and_nothing_else() -> None:
    """No yaml file has a comma in its name, so that quoting the values would help nobody."""
    assert refusal("strategy=full,lora") == "strategy=full,lora: several values make a sweep: add -m"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sed: 3", "unknown key sed; did you mean seed?"),
        ("trainer: {max_epoch: 3}", "unknown key trainer.max_epoch; did you mean trainer.max_epochs?"),
        ("trainer: {max_epochs: many}", 'trainer.max_epochs: expected an integer, got "many"'),
        ("batch_size: ${nowhere}", "batch_size: Interpolation key 'nowhere' not found"),
        ("defaults: [{override /strategy: lroa}]", "strategy=lroa: no such option; did you mean lora?"),
    ],
)
def test_mistakes_in_an_experiment(line: str, message: str, conf: Path) -> None:
    (conf / "experiment" / "spoiled.yaml").write_text(f"# @package _global_\n{line}\n")
    assert message in refusal("experiment=spoiled", config_dir=conf)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"batch_size: [", r"spoiled\.yaml:1: expected the node content, but found .* mend the yaml there"),
        (b"a: 1\na: 2\n", r"spoiled\.yaml:2: found duplicate key a; mend the yaml there"),
        (b"a: 1\n\tb: 2\n", r"spoiled\.yaml:2: found character '\\t' that cannot start any token"),
        (b"name: \xff\n", r"spoiled\.yaml: not UTF-8; save it in that encoding"),
        (b"name: \x01\n", r"a yaml file cannot be read: unacceptable character #x0001"),
    ],
)
def test_a_file_that_is_no_yaml_is_named_with_its_line(content: bytes, message: str, conf: Path) -> None:
    (conf / "experiment" / "spoiled.yaml").write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        compose_settings([*DATA, "experiment=spoiled"], config_dir=conf)


def test_an_experiment_overrules_the_groups_and_the_command_line_overrules_it(conf: Path) -> None:
    (conf / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 9\ntrainer: {accelerator: mps}\n")
    chosen = [*DATA, "experiment=mine", "trainer=cpu"]
    settings = compose_settings(chosen, config_dir=conf)
    assert (settings.seed, settings.trainer.accelerator) == (9, "mps")
    settings = compose_settings([*chosen, "seed=10", "trainer.accelerator=gpu"], config_dir=conf)
    assert (settings.seed, settings.trainer.accelerator) == (10, "gpu")


def test_paper_learning_rates_follow_the_strategy_and_never_fall_back() -> None:
    rates = compose_settings([*DATA, "experiment=paper", "strategy=adapter"]).learning_rates
    assert (rates.introduced, rates.recommender) == (4e-4, 2e-4)
    assert "learning_rates=paper/id: no such option" in refusal("experiment=paper", "strategy=id")


def test_nothing_global_is_left_behind() -> None:
    compose_settings(DATA)
    refusal("strategy=lroa")
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize("group", sorted(NEEDED))
def test_a_group_that_a_run_must_have_is_not_taken_away(group: str) -> None:
    """And what is said instead composes."""
    said = refusal(f"~{group}")
    head, _, names = said.partition(", of ")
    assert head == f"~{group}: a run needs one {group}: leave this word out, or write {group}=NAME"
    offered = {file.relative_to(config_directory() / group).with_suffix("").as_posix() for file in FILES[group]}
    assert set(names.split(", ")) == offered


FILES = {group: sorted((config_directory() / group).rglob("*.yaml")) for group in NEEDED}


def test_groups_that_a_run_must_have_are_those_of_the_root() -> None:
    root = yaml.safe_load((config_directory() / "config.yaml").read_text())["defaults"]
    chosen = {key for each in root if isinstance(each, dict) for key, option in each.items() if option is not None}
    assert {key for key in chosen if " " not in key} == NEEDED


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ("user_encoder=./sasrec", "write user_encoder=sasrec"),
        ("strategy=x/../id", "write strategy=id"),
        ("learning_rates=paper/./id", "write learning_rates=paper/id"),
        ("user_encoder=../strategy/id", "write user_encoder=NAME"),
        ("user_encoder='./sasrec'", "write user_encoder=sasrec"),
    ],
)
def test_an_option_is_named_without_a_path(word: str, instead: str) -> None:
    said = refusal(word)
    assert said.endswith(f" is a path, and an option is named without one: {instead}")
    assert said.startswith(f"{word}: ")


def test_a_path_in_a_list_is_refused_as_alone() -> None:
    """It would be the same choice twice."""
    with pytest.raises(SettingsError, match=r"\./sasrec is a path, .*: write user_encoder=sasrec$"):
        expand_sweep(["user_encoder=./sasrec,sasrec"])


REQUIRED = {
    "seed": [],
    "name": [],
    "runs_dir": [],
    "learning_rates.text": [],
    "evaluation": ["evaluation={}"],
    "hidden_states": ["hidden_states.directory=somewhere"],
    "towers.text": ["towers.text=null"],
    "towers.image": ["towers.image=null"],
    "data.root": ["data.root=somewhere"],
}
"""Keys that a run needs, with what may be written in place of a word that takes one away; DIR is somewhere."""


@pytest.mark.parametrize("key", REQUIRED)
@pytest.mark.parametrize("end", ["", "=null"])
def test_a_word_that_takes_away_what_a_run_needs_is_named(key: str, end: str) -> None:
    """Where it alone is at fault, and what is offered in its place composes."""
    said = refusal(f"~{key}{end}")
    head, _, instead = said.partition(", or write ")
    assert head == f"~{key}: a run needs {key}: leave this word out"
    offered = [instead.replace("DIR", "somewhere")] if instead else []
    assert offered == REQUIRED[key]
    compose_settings([*DATA, *offered])


def test_a_key_that_has_a_default_is_taken_away() -> None:
    taken = compose_settings([*DATA, "batch_size=32", "~batch_size", "logger=wandb", "~logger.wandb"])
    assert (taken.batch_size, taken.logger.wandb) == (64, "disabled")


def test_a_sweep_says_which_word_took_something_away() -> None:
    with pytest.raises(SettingsError, match=r"^job strategy=lora: ~seed: a run needs seed: leave this word out$"):
        expand_sweep([*DATA, "strategy=lora,iisan", "~seed"])


NOTHING = "there is nothing to take away, as no yaml file of this command sets it, or it is null: leave this word out"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("~trainer.max_epochs", f"~trainer.max_epochs: {NOTHING}"),
        ("~data.images", f"~data.images: {NOTHING}"),
        ("~nowhere.key", f"~nowhere.key: {NOTHING}"),
        ("~experiment=quickstart", f"~experiment=quickstart: {NOTHING}"),
        ("~seed=2", "~seed=2: seed is 1 here: leave this word out, or write seed=2 to set it"),
        ("~debug=1", "~debug=1: it names no one option of debug: write ~debug, or leave this word out"),
        ("~debug=[fast]", "~debug=[fast]: it names no one option of debug: write ~debug, or leave this word out"),
        ("~hydra/launcher", "~hydra/launcher: a sweep needs a launcher: leave this word out, or write hydra/launcher="),
        ("~hydra/launcher=1", "~hydra/launcher=1: a sweep needs a launcher: leave this word out, or write "),
        ("~", "cannot read '~' (it names no key): write KEY=VALUE"),
        ("=1", "cannot read '=1' (it names no key): write KEY=VALUE"),
        ("data@here=iisan", "data@here=iisan: what is chosen of data has one place in a run: write data=iisan"),
        ("+data@data=iisan", "+data@data=iisan: what is chosen of data has one place in a run: write data=iisan"),
        ("towers/text=tiny", "towers/text: there is no such choice; write GROUP=NAME, with GROUP one of cold_items, "),
        ("evaluation=null", "evaluation: expected a group of keys (evaluation.mask_history, "),
        ("trainer.max_steps_per_epoch=x", 'trainer.max_steps_per_epoch: expected an integer or null, got "x"'),
        ("data.images=1", "data.images: expected text or null, got 1"),
    ],
)
def test_a_word_that_cannot_stand_is_answered_with_what_can(word: str, said: str) -> None:
    assert refusal(word).startswith(said)


@pytest.mark.parametrize("values", ["fast,overfit", "1,2"])
def test_a_sweep_takes_no_several_options_away(values: str) -> None:
    with pytest.raises(SettingsError, match=f"^~debug={values}: it names no one option of debug: write ~debug"):
        expand_sweep([f"~debug={values}"])
