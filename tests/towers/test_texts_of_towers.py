"""Two towers on two texts of the same items: what each reads, what its states are known by, what new items need."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from peftrec.config.roles import roles_of
from peftrec.errors import DataError, SettingsError
from peftrec.planning.plan import plan_run
from peftrec.planning.request import PlanRequest
from peftrec.planning.workloads import read_workload
from peftrec.results.record import read_record
from peftrec.serving.cold_items import encode_cold_items, read_cold_items
from peftrec.serving.http.messages import EncodeBody, NewItem
from peftrec.serving.http.request import ServeRequest
from peftrec.serving.http.serving import loaded_service
from peftrec.serving.sent_items import sent_items
from peftrec.serving.tower_folders import described
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings, settings_to_config
from peftrec.settings.run_identity import deciding_config
from peftrec.training.building.assembly import assemble
from peftrec.training.building.item_side import load_content
from peftrec.training.building.reading import prepare_data, unread_texts
from peftrec.training.building.stored_states import store_key
from peftrec.training.run.pipeline import train_run
from peftrec.training.run.restored_run import restore_run
from small_runs import small_config, small_settings

CPU = torch.device("cpu")
TABLE = ["data=table", "data.root=none"]
LONG = ["towers.long.modality=text", "towers.long.checkpoint=package:tiny_towers/bert"]


def two_texts(runs_dir: Path, strategy: str, text: str = "description", /, **changes: Any) -> Settings:
    """A tower of titles and one of the same architecture on another text."""
    towers = small_config(runs_dir)["towers"]
    second = {**towers["text"], "modality": "text", "text": text}
    return small_settings(runs_dir, strategy, towers={"image": None, "long": second}, **changes)


def deciding(*words: str) -> dict[str, Any]:
    settings = compose_settings(words)
    return deciding_config(settings_to_config(settings), roles_of(settings))


def test_each_tower_reads_the_text_that_it_names(tmp_path: Path) -> None:
    settings = two_texts(tmp_path, "full")
    items = prepare_data(settings).items
    assert items.titles != items.texts["description"]
    content = load_content(settings.towers, items, keep_bytes=0).by_tower
    for name, texts in (("text", items.titles), ("long", items.texts["description"])):
        expected = settings.towers.text_encoders[name].tokenise(texts or (), name)
        assert np.array_equal(content[name].token_ids, expected.token_ids)  # type: ignore[attr-defined]
    assert settings.towers.text_readers == {"title": ["text"], "description": ["long"]}


def test_live_and_stored_states_of_two_texts_are_the_same(tmp_path: Path) -> None:
    embeddings = []
    for strategy in ("iisan_versa", "iisan_versa_cached"):
        settings = two_texts(tmp_path, strategy)
        module = assemble(settings, prepare_data(settings), CPU).module.eval()
        with torch.inference_mode():
            embeddings.append(module.encode_catalogue())
    torch.testing.assert_close(*embeddings, rtol=1e-5, atol=1e-5)


def test_a_store_knows_which_text_a_tower_reads(tmp_path: Path) -> None:
    """With one checkpoint, two texts are never one store's states."""
    keys = {}
    for text in ("title", "description"):
        settings = two_texts(tmp_path, "iisan_versa_cached", text)
        keys[text] = store_key(settings, prepare_data(settings).items)
    assert keys["title"].towers["text"] == keys["description"].towers["text"]
    assert keys["title"].towers["long"].content == keys["title"].towers["text"].content
    assert keys["description"].towers["long"].content != keys["description"].towers["text"].content
    assert keys["title"].folder_name() != keys["description"].folder_name()


def test_what_is_left_as_it_was_adds_no_key() -> None:
    """Names of runs without further texts are those of before there could be any."""
    for words in (["data=table", "data.root=none"], ["data=amazon_2023", "data.root=none", "data.category=Baby"], []):
        asked = deciding(*words)
        assert not {"texts", "empty_texts"} & set(asked["data"])
        assert not any("text" in tower for tower in asked["towers"].values())
    assert deciding("towers.text.text=title") == deciding()
    assert deciding(*TABLE, "data.texts={}", "data.empty_texts=error") == deciding(*TABLE)
    named = deciding(*TABLE, "data.texts.long=about", *LONG, "towers.long.text=long")
    assert named["data"]["texts"] == {"long": ["about"]}
    assert named["towers"]["long"]["text"] == "long"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            [*TABLE, "data.texts.description=about", "towers.long.text=descripton"],
            r"towers\.long\.text=descripton: the data has no such text, and has title, description; did you mean desc",
        ),
        ([*TABLE, "towers.long.text=about"], r"has title; name its columns by data\.texts\.about=\[COLUMN\]$"),
        (["towers.long.text=about"], r"has title, description; choose one of them$"),
        ([*TABLE, "data.texts.d=about", "towers.long.text='a b'"], r"has title, d; choose one of them$"),
        (["towers.long.text=3"], r"towers\.long\.text: expected text, got 3"),
        (["data.texts.about=about"], r"unknown key data\.texts\.about"),
    ],
)
def test_a_tower_of_a_text_that_there_is_not_is_refused_in_one_line(words: list[str], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as raised:
        compose_settings([*LONG, *words])
    assert "\n" not in str(raised.value)


def test_a_title_that_is_not_there_is_said_with_the_towers_that_read_titles(tmp_path: Path) -> None:
    """And what the message says to leave out can be left out."""
    (tmp_path / "items.csv").write_text("item,title\n" + "".join(f"i{item},{'a' * (item != 3)}\n" for item in range(6)))
    rows = "".join(f"u{user},i{item},{item}\n" for user in range(4) for item in range(6))
    (tmp_path / "interactions.csv").write_text(f"user,item,timestamp\n{rows}")
    words = ["data=table", f"data.root={tmp_path}", "towers.image=null", "towers.text=null", *LONG, "strategy=id"]
    second = [word.replace("long", "other") for word in LONG]
    with pytest.raises(DataError, match=r"towers\.long=null towers\.other=null") as raised:
        prepare_data(compose_settings([*words, *second]))
    assert "towers.text=null" not in str(raised.value)
    without = ["towers.long=null", "towers.other=null"]
    assert prepare_data(compose_settings([*words, *second, *without])).items.titles is not None
    nowhere = [*words, *second, "data.text_columns=[]"]
    with pytest.raises(DataError, match=r"names no field: set .* or towers\.long=null towers\.other=null"):
        prepare_data(compose_settings(nowhere))
    prepare_data(compose_settings([*nowhere, *without]))


def test_a_text_that_no_tower_reads_is_said() -> None:
    named = compose_settings([*TABLE, "data.texts.description=about"])
    assert unread_texts(named) == [
        "data.texts.description: no tower reads it; one does by towers.NAME.text=description"
    ]
    assert unread_texts(compose_settings([*TABLE, "data.texts.a=about", "towers.text.text=a"])) == []
    assert unread_texts(compose_settings([])) == [], "the built-in one is nobody's to name"


def test_a_plan_counts_the_tokens_of_both(tmp_path: Path) -> None:
    settings = two_texts(tmp_path, "full")
    items = prepare_data(settings).items
    workload = read_workload(settings)
    assert list(workload.title_lengths) == ["text", "long"]
    for name, texts in (("text", items.titles), ("long", items.texts["description"])):
        lengths = settings.towers.text_encoders[name].tokenise(texts or (), name).lengths()
        assert np.array_equal(workload.title_lengths[name], lengths)
    assert workload.mean_tokens["text"] != workload.mean_tokens["long"]
    assert workload.caveats == ()


@pytest.mark.integration
@pytest.mark.parametrize("strategy", ["full", "lora_cached"])
def test_a_plan_of_two_texts_is_what_the_run_needs(strategy: str, tmp_path: Path) -> None:
    """Each tower is counted at the tokens of its own text."""
    settings = two_texts(tmp_path, strategy, trainer={"max_epochs": 1})
    record = read_record(train_run(settings).run_directory)
    plan = plan_run(strategy, settings, read_workload(settings), PlanRequest())
    assert record.efficiency is not None
    assert plan.step_operations == record.efficiency.step_operations
    assert plan.exact_bytes == record.efficiency.exact_bytes


def test_what_a_tower_reads_is_in_the_words_of_an_export(tmp_path: Path) -> None:
    parts = two_texts(tmp_path, "full").towers.encoders
    assert [described(name, part, "untouched").content for name, part in parts.items()] == [
        "titles",
        "description texts",
    ]


@pytest.mark.integration
def test_new_items_are_encoded_by_both_texts(tmp_path: Path) -> None:
    settings = two_texts(tmp_path, "iisan_versa_cached", trainer={"max_epochs": 1, "max_steps_per_epoch": 1})
    run = restore_run(train_run(settings).run_directory)
    items, rows = run.split.items, [17, 3, 30]
    chosen = {name: [(items.text(name) or ())[row] for row in rows] for name in ("title", "description")}
    with torch.inference_mode():
        expected = run.module.encode_catalogue().numpy()[rows]
    table = pd.DataFrame({"item": ["a", "b", "c"], **chosen})
    as_table = read_cold_items(table, run.settings, known=items.ids)
    encoded = encode_cold_items(run, as_table)
    np.testing.assert_allclose(encoded, expected, atol=1e-5)
    served = loaded_service(ServeRequest.of([run.directory], {}, ())).named(None)
    assert served.reads == ["title", "texts.description"]
    sent = [
        NewItem(id=name, title=title, texts={"description": text})
        for name, title, text in table.itertuples(index=False)
    ]
    with pytest.raises(StopIteration) as ended:  # three items are one part
        next(served.encode(EncodeBody(items=sent)))
    vectors = [item.vector for item in ended.value.value.items]
    assert np.array_equal(np.array(vectors, dtype=np.float32), encoded)
    swapped = table.rename(columns={"title": "description", "description": "title"})
    other = encode_cold_items(run, read_cold_items(swapped, run.settings, known=items.ids))
    assert np.abs(other - encoded).max() > 1e-3


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({}, r"items\.0\.texts\.description: the run reads it, and it is missing or empty"),
        ({"description": " "}, r"items\.0\.texts\.description: the run reads it, and it is missing or empty"),
        ({"description": "x", "a\ud800": "x"}, r"items\.0\.texts: the run reads no 'a\\ud800' .* it reads description"),
        ({"description": "\ud800"}, r"items\.0\.texts\.description: it holds half a character"),
        ({"title": "x"}, r"items\.0\.texts: the run reads no 'title' beside the title"),
    ],
)
def test_what_is_wrong_with_a_sent_text_is_told_by_its_place(texts: dict[str, str], says: str, tmp_path: Path) -> None:
    sent = [NewItem(id="a", title="red lamp", texts=texts)]
    with pytest.raises(DataError, match=says) as raised:
        sent_items(sent, two_texts(tmp_path, "full"), known=(), max_image_pixels=1)
    str(raised.value).encode()


def test_a_run_of_titles_alone_takes_no_texts(tmp_path: Path) -> None:
    settings = small_settings(tmp_path, "full", towers={"image": None})
    with pytest.raises(DataError, match="no 'description' beside the title; leave texts out"):
        sent_items([NewItem(id="a", title="b", texts={"description": "c"})], settings, known=(), max_image_pixels=1)


def test_a_new_item_may_lack_a_text_where_those_of_the_data_may() -> None:
    """And needs no title where no tower reads titles."""
    words = [*TABLE, "data.texts.long=about", "towers.image=null", "towers.text.text=long"]
    kept = compose_settings([*words, "data.empty_texts=blank"])
    sent = sent_items([NewItem(id="a")], kept, known=(), max_image_pixels=1)
    assert sent.texts == {"long": ("",)}
    table = pd.DataFrame({"item": ["a"], "long": [""]})
    assert read_cold_items(table, kept, known=()).texts == {"long": ("",)}
    with pytest.raises(DataError, match="DataFrame:0: the long is empty"):
        read_cold_items(table, compose_settings(words), known=())
