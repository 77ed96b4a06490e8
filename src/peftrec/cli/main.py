"""The command line: `peftrec VERB [arguments]`. A verb's module is imported only when it runs."""

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from peftrec import __version__
from peftrec.cli.arguments import Grammar
from peftrec.devices import settle_threads
from peftrec.errors import UserError, did_you_mean
from peftrec.outputs.streams import abandon_output, safe_streams
from peftrec.processes import TERMINATED, Terminated, end_on_sigterm

VERBS = {
    "train": "train one strategy, or a sweep of them (-m)",
    "tune": "give each strategy the same budget of trials, choose by validation, then train and compare the best",
    "plan": "say what a run, or a set of them (-m), will cost, before weights or data are there",
    "evaluate": "score a finished run again, from its own record and checkpoint",
    "recommend": "the best items for a user of a finished run, and what speaks for each",
    "serve": "answer requests over HTTP: recommend, encode new items, add them",
    "retrieval": "compare ways to describe users by query vectors: PinnerSage and its baselines",
    "cache": "build, verify, list or prune stores of frozen towers' hidden states",
    "images": "pack a folder, zip or LMDB of images into one file (pack); fetch images by their addresses (fetch)",
    "export": "write a finished run for others to load: checkpoints, peft adapters, item embeddings, a card",
    "coldstart": "rank for items or users without history: Heater and what it must beat",
    "groups": "an adapter a group of users: divide a finished run's users, train a part for each, rank and compare",
    "classify": "train Gated Transformer Networks on labelled series, over several seeds",
    "measure": "time steps of all runs of a folder in turns, and write what they cost into their records",
    "clean": "list, or remove, superseded runs, stores that nobody reads, and what killed processes left",
    "table": "build a table of a paper by the verbs above, or list all (make list)",
    "dashboard": "make a workspace and a report of a folder of runs in Weights & Biases (wandb)",
    "report": "write the tables and figures of a folder of runs, from their records alone",
    "doctor": "say what of this installation and machine can be used, and what is missing for what",
    "completion": "print the script by which bash, zsh or fish completes these commands",
}
"""Verb to its line in the help: the one list of verbs. The verb is also the name of its module beside this one, which
has `GRAMMAR` and `main(arguments) -> int`."""

_ELSEWHERE = {
    "train": "fit run finetune fine-tune",
    "train -m": "sweep multirun grid",
    "tune": "optimize optimise hpo search",
    "plan": "estimate cost costs profile",
    "evaluate": "eval test score",
    "recommend": "predict infer",
    "report": "compare summarize summarise results",
    "measure": "benchmark time",
    "doctor": "check info env",
}
VERB_OF = {word: verb for verb, words in _ELSEWHERE.items() for word in words.split()}
"""What verbs are called in other programs, and in the Python API, to what to write here."""

FIRST_STEPS = """first steps, on the built-in data (name= names the experiment: its runs and report lie in runs/NAME):

  peftrec train name=first strategy=iisan_cached trainer.max_epochs=2
  peftrec train name=first strategy=lora trainer.max_epochs=2
  peftrec report runs/first

`peftrec help VERB` says more and has examples; `peftrec doctor` says what of this machine can be used;
`peftrec --version`."""

OK, MISTAKE, INTERRUPTED, NO_READER = 0, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit status: 2 for a mistake in the input, 130 after Ctrl-C, 143 after SIGTERM,
    141 where the program that read the output has closed it, as shells count these signals."""
    end_on_sigterm()
    with safe_streams():
        try:
            status = _main(arguments)
            sys.stdout.flush()
        except BrokenPipeError:
            abandon_output()
            return NO_READER
        return status


def _main(arguments: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    settle_threads(os.environ)  # before anything imports torch
    verb = words[0] if words else "--help"
    if verb == "help" and len(words) > 1:
        verb, *words = *words[1:], "--help"  # `help cache` is `cache --help`
        words = [verb, *words]
    if verb in ("-h", "--help", "help"):
        print(usage())
        return OK
    if verb == "--version":
        print(f"peftrec {__version__}")
        return OK
    try:
        return run(verb, words[1:])
    except (UserError, OSError) as error:
        print(f"error: {_message(error)}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from what is done", file=sys.stderr)
        return INTERRUPTED
    except Terminated:
        print("ended by SIGTERM; the same command goes on from what is done", file=sys.stderr)
        return TERMINATED


def _message(error: UserError | OSError) -> str:
    """Return what a user can mend: their own mistake, or a place that has no room or cannot be used, where the verb has
    no message of its own. Other errors of the system are raised again."""
    if isinstance(error, UserError):
        return str(error)
    from peftrec.files import FULL, UNUSABLE

    place = error.filename or "the disk"
    if error.errno in FULL:
        return f"{place}: {error.strerror}; free space, and give the same command again"
    if error.errno == errno.ENAMETOOLONG:
        return f"{place}: {error.strerror}; give a shorter one"
    if error.errno in UNUSABLE:
        return f"{place}: {error.strerror}; let this user read and write there, or name another place"
    raise error


def run(verb: str, arguments: list[str]) -> int:
    """Import the verb's module and run it. Raises UserError for an unknown verb, naming the nearest one."""
    if verb not in VERBS:
        ours = VERB_OF.get(verb)
        raise UserError(f"unknown verb {verb}; {f'write {ours}' if ours else did_you_mean(verb, VERBS)}")
    status: int = import_module(f"peftrec.cli.{verb}").main(arguments)
    return status


def grammar_of(verb: str) -> Grammar:
    """Return what the command line of a verb may hold."""
    grammar: Grammar = import_module(f"peftrec.cli.{verb}").GRAMMAR
    return grammar


def usage() -> str:
    """Return the help: one line a verb."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {line}" for verb, line in VERBS.items())
    return f"usage: peftrec VERB [arguments]\n\n{verbs}\n\n{FIRST_STEPS}"
