"""What a command or a yaml file may say to Hydra itself."""

from pathlib import Path

import pytest

from peftrec.errors import SettingsError, UserError
from peftrec.jobs.sweep import expand_sweep, run_sweep
from peftrec.settings.composition import compose_settings

TOUCH = "{{_target_: pathlib.Path.touch, self: {{_target_: pathlib.Path, _args_: ['{}']}}}}"


def programs(mark: Path) -> list[str]:
    touch = TOUCH.format(mark)
    return [
        f"hydra.callbacks.mine={touch}",
        f"+hydra.callbacks.mine={touch}",
        f"++hydra={{callbacks: {{mine: {touch}}}}}",
        f"+hydra.job_logging.handlers.mine={{'()': pathlib.Path.touch, self: '{mark}'}}",
        "hydra.sweeper._target_=os.system",
        "hydra.launcher._target_=os.system",
        f"+hydra.launcher.additional_parameters={touch}",
        f"hydra.launcher={touch}",
        "+hydra.job.env_set.LD_PRELOAD=mine.so",
        "hydra.searchpath=[file:///tmp]",
        "hydra/job_logging=default",
        "~hydra.launcher._target_",
    ]


@pytest.mark.parametrize("number", range(len(programs(Path()))))
def test_a_command_cannot_make_hydra_run_anything(number: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    word = programs(mark)[number]
    for run in (run_sweep, expand_sweep, compose_settings):
        with pytest.raises(SettingsError, match="hydra"):
            run([word, f"runs_dir={tmp_path}", "strategy=id"])
    assert not mark.exists()


@pytest.mark.parametrize(
    "node",
    [
        "callbacks:\n    mine: {}",
        "job_logging:\n    handlers:\n      mine: {{'()': pathlib.Path.touch, self: '{mark}'}}",
        "launcher:\n    _target_: os.system",
        "job:\n    env_set:\n      LD_PRELOAD: mine.so",
    ],
)
def test_nor_can_a_yaml_file(node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "mark"
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    text = node.format(TOUCH.format(mark), mark=mark)
    (folder / "mine.yaml").write_text(f"# @package _global_\nhydra:\n  {text}\n")
    monkeypatch.setattr("peftrec.code.user_code.config_folders", lambda: (tmp_path / "conf",))
    for run in (run_sweep, expand_sweep, compose_settings):
        with pytest.raises(SettingsError, match=r"hydra\."):
            run(["experiment=mine", f"runs_dir={tmp_path}", "strategy=id"])
    assert not mark.exists()


def test_what_sweeps_need_is_let_through(tmp_path: Path) -> None:
    words = [
        "hydra/launcher=isolated",
        "hydra.launcher.slots=2",
        f"hydra.sweep.dir={tmp_path}",
        "strategy=id",
        "seed=1,2",
    ]
    assert len(expand_sweep(words)) == len([1, 2])


SLURM = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["+hydra.launcher.nosuch=1"],
            "hydra.launcher.nosuch: hydra/launcher=isolated has no such key; it has slots, mod",
        ),
        (
            ["hydra.launcher.slot=1"],
            "hydra.launcher.slot: hydra/launcher=isolated has no such key; did you mean slots?",
        ),
        (["hydra.launcher.nosuch.x=1"], "hydra.launcher.nosuch: hydra/launcher=isolated has no such key; it has slots"),
        (
            [*SLURM, "hydra.launcher.mem=1"],
            "hydra.launcher.mem: hydra/launcher=slurm has no such key; did you mean mem_gb?",
        ),
        (["hydra/launcher=nosuch"], "hydra/launcher=nosuch: no such option; available: isolated, slurm"),
        (
            ["hydra/launcher=slrm"],
            "hydra/launcher=slrm: no such option; did you mean slurm? available: isolated, slurm",
        ),
        (
            ["hydra/launcher=basic"],
            "hydra.launcher._target_: hydra._internal.core_plugins.basic_launcher.BasicLauncher: no launcher of this "
            "package; take hydra/launcher=isolated or hydra/launcher=slurm",
        ),
        (["hydra.launcher.slots=abc"], "hydra.launcher.slots=abc: expected a whole number"),
        (
            ["hydra.launcher.slots.x=1"],
            "hydra.launcher.slots.x=1: hydra.launcher.slots has no keys of its own; write hy",
        ),
        (
            [*SLURM, "+hydra.launcher.setup.x=1"],
            "+hydra.launcher.setup.x=1: hydra.launcher.setup has no keys of its own",
        ),
        (["hydra.sweep.dir=null"], "hydra.sweep.dir=null: it must have a value: write hydra.sweep.dir=VALUE, or leave"),
    ],
)
def test_what_a_launcher_does_not_have_is_said_in_words_of_ours(words: list[str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        compose_settings([*words, "strategy=id"])
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    "words",
    [
        ["hydra.launcher.slots=null"],
        [*SLURM, "hydra.launcher.setup=[module load cuda]"],
        [*SLURM, "hydra.launcher.additional_parameters.reservation=mine"],
        [*SLURM, "hydra.launcher.additional_parameters={reservation: mine}"],
    ],
)
def test_what_a_launcher_has_is_taken(words: list[str]) -> None:
    compose_settings([*words, "strategy=id"])


def test_a_sweep_that_cannot_be_written_names_the_key_that_said_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for key in ("hydra.sweep.dir", "runs_dir"):
        with pytest.raises(UserError, match=rf"^cannot write to {tmp_path}/file/\S+: Not a directory; set {key}=DIR$"):
            run_sweep(["strategy=id", "seed=1,2", f"{key}={tmp_path / 'file' / 'below'}"])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hydra.launcher.slots=1,2", r"^hydra\.launcher\.slots=1,2: all jobs of a sweep share it"),
        ("hydra/launcher=isolated,slurm", "^hydra/launcher=isolated,slurm: all jobs of a sweep share it"),
        ("hydra.sweep.dir=a,b", r"^hydra\.sweep\.dir=a,b: all jobs .* hydra\.sweep\.dir='\"A,B\"'$"),
        ("hydra.sweep.dir=", r"^hydra\.sweep\.dir=: it names no folder: write hydra\.sweep\.dir=DIR"),
        ("~hydra.sweep.dir", r"^~hydra\.sweep\.dir: it must have a value: leave this word out$"),
        ("hydra.sweep.dir={a: 1}", r"^hydra\.sweep\.dir=\{a: 1\}: Cannot convert 'dict' to string"),
    ],
)
def test_what_all_jobs_share_has_one_value(word: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        run_sweep([word, "strategy=id"])


def test_a_value_with_a_colon_is_quoted_whole() -> None:
    with pytest.raises(SettingsError, match=r"timeout_min=\{a: 1\}: expected a whole number$"):
        run_sweep(["hydra/launcher=slurm", "hydra.launcher.timeout_min={a: 1}", "strategy=id"])


def test_a_launcher_may_be_written_with_a_plus() -> None:
    assert len(expand_sweep(["+hydra/launcher=isolated", "strategy=id", "seed=1,2"])) == len([1, 2])


def test_a_launchers_yaml_that_is_a_list_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "hydra" / "launcher"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("[a, b]\n")
    monkeypatch.setattr("peftrec.code.user_code.config_folders", lambda: (tmp_path,))
    with pytest.raises(SettingsError, match=r"^hydra\.launcher: \['a', 'b'\]: keys are needed here"):
        run_sweep(["hydra/launcher=mine", "strategy=id"])
