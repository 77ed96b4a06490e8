"""What a command or a yaml file may say to Hydra itself."""

from pathlib import Path

import pytest

from peftrec.errors import SettingsError
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
