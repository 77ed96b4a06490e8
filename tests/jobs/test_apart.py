"""Jobs of a sweep that would be one run, or rows of no one table, are refused before the first starts."""

import re
from pathlib import Path
from typing import Any

import pytest

from peftrec.config.roles import roles_of
from peftrec.errors import SettingsError
from peftrec.jobs.apart import refuse_doubles, refuse_mixed
from peftrec.jobs.isolation import Job
from peftrec.settings.run import settings_from_config, settings_to_config
from small_runs import small_config

TABLE = "peftrec.data.readers.table.TableFiles"


def jobs_of(tmp_path: Path, *changes: dict[str, Any]) -> list[Job]:
    jobs = []
    for number, change in enumerate(changes):
        settings = settings_from_config({**small_config(tmp_path, "id"), **change})
        roles = {key: str(role) for key, role in roles_of(settings).items()}
        config = settings_to_config(settings)
        jobs.append(
            Job(label=f"job {number}", overrides=[f"of job {number}"], config=config, roles=roles, code_hash="")
        )
    return jobs


def trainer(**changes: Any) -> dict[str, Any]:
    return {"trainer": {"accelerator": "cpu", "has_progress_bar": False, **changes}}


def text(checkpoint: str) -> dict[str, Any]:
    return {"towers": {"text": {"checkpoint": checkpoint}, "image": None}}


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"seed": 1}, {"seed": 1}, "two jobs are the same, of job 0: give each value of a sweep once"),
        (trainer(compile=True), trainer(), "are one run: trainer.compile=false is no part of its name, because it"),
        (
            trainer(compile=True, num_workers=3, devices=2),
            trainer(),
            "one run: trainer.devices=1, trainer.compile=false, trainer.num_workers=0 is no part",
        ),
        (trainer(), trainer(has_progress_bar=True), "one run: trainer.has_progress_bar=true is no part of its name;"),
    ],
)
def test_one_run_twice_is_refused(tmp_path: Path, first: Any, second: Any, said: str) -> None:
    for changes in ((first, second), ({"seed": 5}, first, {"seed": 6}, second)):
        with pytest.raises(SettingsError) as caught:
            refuse_doubles(jobs_of(tmp_path, *changes))
        assert said.replace("job 0", f"job {changes.index(first)}") in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"seed": 1}, {"seed": 2}),
        ({"name": "one"}, {"name": "other"}),
        ({"runs_dir": "one"}, {"runs_dir": "other"}),
        (trainer(), trainer(compile=True, max_epochs=3)),
        (text("one"), text("other")),
    ],
)
def test_runs_of_their_own_are_not(tmp_path: Path, first: Any, second: Any) -> None:
    jobs = jobs_of(tmp_path, first, second)
    refuse_doubles(jobs)
    refuse_mixed(jobs)


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        ({"data": {"_target_": TABLE, "root": "A"}}, {"data": {"_target_": TABLE, "root": "B"}}, "data.root"),
        ({"data": {"_target_": TABLE, "root": "A"}}, {}, "data._target_"),
        ({"evaluation": {"mask_history": "none"}}, {}, "evaluation.mask_history"),
    ],
)
def test_what_no_table_can_hold_together_is_refused_unless_the_names_differ(
    tmp_path: Path, first: Any, second: Any, key: str
) -> None:
    remedy = "name=NAME of its own" if key == "data._target_" else f"add name='small-${{{key}}}'"
    with pytest.raises(SettingsError, match=rf"jobs 'job 0' and 'job 2' differ in {key}.*{re.escape(remedy)}"):
        refuse_mixed(jobs_of(tmp_path, first, {**first, "seed": 4}, second))
    jobs = jobs_of(tmp_path, first, {**second, "name": "other"})
    refuse_doubles(jobs)
    refuse_mixed(jobs)
