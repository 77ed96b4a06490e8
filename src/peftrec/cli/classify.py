"""`peftrec classify`: GTN as the classifier of its paper, over several seeds, beside the published accuracy."""

import sys
from typing import TYPE_CHECKING

from peftrec.cli.arguments import Composed, Grammar, read_arguments

if TYPE_CHECKING:
    from peftrec.series.settings import ClassifySettings

HELP = """usage: peftrec classify [--cfg] [recipe=NAME] [KEY=VALUE ...]

  --cfg   print the checked configuration as yaml and stop

Trains Gated Transformer Networks (arXiv:2103.14438) once a seed on series of different lengths and prints the test
accuracy by three rules of choosing the epoch, of which the last is the published code's. Finished seeds are kept under
runs_dir and not trained again.

Series are read by aeon: pip install "peftrec[series]". JapaneseVowels is in aeon's package; data.name=NAME
data.root=DIR reads DIR/NAME/NAME_TRAIN.ts and NAME_TEST.ts. recipe=small is the default, recipe=published has the
published size and optimizer.

examples:
  peftrec classify seeds=[1] recipe.max_epochs=2
  peftrec classify recipe=published seeds=[1] --cfg
  peftrec classify data.name=NAME data.root=DIR --cfg

recipes: """
FOLDER = "series"


def help_text() -> str:
    """Return the help with the recipes."""
    return HELP + list_recipes()


GRAMMAR = Grammar(
    verb="classify",
    help=help_text,
    flags=frozenset({"--cfg"}),
    leaves_others=True,
    composes=Composed(folder=FOLDER, settings="peftrec.series.settings:ClassifySettings"),
    extras={"series": "series"},
)


def main(arguments: list[str]) -> int:
    """Train what is missing, and print the table."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    from peftrec.config.composition import compose_part
    from peftrec.series.settings import ClassifySettings

    settings = compose_part(ClassifySettings, given.others, folder=FOLDER)
    return show(settings) if "--cfg" in given.flags else classify(settings)


def show(settings: "ClassifySettings") -> int:
    """Print the configuration."""
    import yaml

    from peftrec.config.instantiate import describe_part

    print(yaml.safe_dump(describe_part(settings, type(settings)), sort_keys=False), end="")
    return 0


def classify(settings: "ClassifySettings") -> int:
    """Train the seeds that are missing, and print the table of all."""
    from peftrec.code.fingerprint import Fingerprint
    from peftrec.progress.quiet import quieten_libraries
    from peftrec.series.data import read_split
    from peftrec.series.results import SeedOutcome, former_code, results_path
    from peftrec.series.summary import to_text
    from peftrec.series.training import describe, train_seeds

    quieten_libraries()
    split = read_split(settings.data)
    empty = describe(settings, split)
    path = results_path(settings.runs_dir, empty)
    if (former := former_code(settings.runs_dir, empty)) is not None:
        code = Fingerprint(modules=empty.modules, versions=empty.packages)
        print(f"{former[0]}: {code.explain(former[1])}", file=sys.stderr)

    def report(outcome: SeedOutcome) -> None:
        accuracy = 100 * outcome.least_loss_epoch().test_accuracy
        print(f"seed {outcome.seed}: {accuracy:.2f} % at the least training loss, {outcome.seconds:.0f} s", flush=True)

    results = train_seeds(settings, split, empty, path, report)
    print(to_text(results) + f"results: {path}")
    return 0


def list_recipes() -> str:
    """Return the names of the recipes."""
    from peftrec.config.folder import config_directory

    return ", ".join(sorted(path.stem for path in (config_directory() / FOLDER / "recipe").glob("*.yaml")))
