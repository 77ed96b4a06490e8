"""Each data set by its name, from a few lines in its published layout: what is read, and its traps."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from peftrec.data.datasets.layout import Edition
from peftrec.data.datasets.microlens import MicroLens
from peftrec.data.images.folder import FolderImages
from peftrec.data.split import split_catalogue
from peftrec.errors import DataError
from peftrec.settings.composition import compose_settings
from peftrec.towers.ready_features import ReadyFeatures
from small_datasets import PUBLISHED, compress, histories_of, read_dataset, source_of, write_dataset


def message(name: str, root: Path, **keys: str) -> str:
    with pytest.raises(DataError) as caught:
        read_dataset(name, root, **keys)
    return str(caught.value)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "histories", "title", "counts"),
    [
        (
            "microlens",
            {"1": ["10", "11", "12", "13", "14"], "2": ["14", "13", "12", "11", "10"]},
            "Cooking, the slow way",
            {},
        ),
        (
            "pixelrec",
            {"u1": ["i1", "i2", "i3", "i4", "i5"], "u2": ["i5", "i4", "i3", "i2", "i1"]},
            "A street in the rain",
            {"interactions_dropped_repeated": 1, "titles_blank": 1},
        ),
        (
            "ninerec",
            {"u1": ["v1", "v2", "v3", "v4", "v5"], "u2": ["v6", "v5", "v4", "v3", "v2"]},
            "Text 1, in English",
            {},
        ),
        (
            "amazon_2023",
            {"AE1": ["B1", "B2", "B3", "B4", "B5"], "AE2": ["B5", "B4", "B3", "B2", "B1"]},
            "Bib 1",
            {"interactions_dropped_unknown_item": 1, "interactions_dropped_later": 1},
        ),
        (
            "amazon_2018",
            {"A1": ["B1", "B2", "B4", "B5"], "A2": ["B5", "B4", "B2", "B1"]},
            "Soap 1",
            {"item_rows_dropped_repeated": 1, "items_dropped_empty_title": 1},
        ),
        (
            "amazon_2014",
            {"A1": ["B1", "B2", "B3", "B4", "B5"], "A2": ["B5", "B4", "B3", "B2", "B1"]},
            "Baby's cup 1",
            {},
        ),
        (
            "hm",
            {
                "00a": ["0108775015", "0108775044", "0110065001", "0111565001", "0111586001"],
                "00b": ["0111586001", "0111565001", "0110065001", "0108775044", "0108775015"],
            },
            "Strap top 0. detail_desc: Jersey top, narrow 0",
            {"interactions_dropped_repeated": 1},
        ),
        ("mmrec", {"0": ["0", "1", "2", "3", "4"], "1": ["4", "3", "2", "1", "0"]}, None, {}),
        ("movielens", {"1": ["1", "2", "3", "4", "5"], "2": ["5", "4", "3", "2", "1"]}, "Toy Story (1995)", {}),
        (
            "yelp",
            {"u1": ["b1", "b2", "b3", "b4", "b5"], "u2": ["b5", "b4", "b3", "b2", "b1"]},
            "Café 1. categories: Cafes, Food",
            {},
        ),
    ],
)
def test_what_a_data_set_gives(
    tmp_path: Path, name: str, histories: dict[str, list[str]], title: str | None, counts: dict[str, int]
) -> None:
    catalogue = read_dataset(name, write_dataset(name, tmp_path))
    assert histories_of(catalogue) == histories
    assert (catalogue.items.titles or (None,))[0] == title
    assert {key: count for key, count in catalogue.counts.items() if count} == counts
    assert catalogue.interactions.times is not None
    if catalogue.items.images is not None:
        assert all(catalogue.items.images.load(item).size == (6, 8) for item in catalogue.interactions.occurring())


@pytest.mark.parametrize(
    "name", ["microlens", "pixelrec", "ninerec", "amazon_2023", "amazon_2018", "amazon_2014", "hm", "movielens", "yelp"]
)
def test_compressed_files_are_read_too(tmp_path: Path, name: str) -> None:
    root = write_dataset(name, tmp_path)
    expected = histories_of(read_dataset(name, root))
    for file in [each for each in root.iterdir() if each.suffix in (".csv", ".json", ".jsonl")]:
        compress(file)
    keys = {"photos": "photos.json.gz"} if name == "yelp" else {}
    if name == "microlens":
        keys = {"interactions": "MicroLens-50k_pairs.csv.gz", "items": "MicroLens-50k_titles.csv.gz"}
    assert histories_of(read_dataset(name, root, **keys)) == expected


# MicroLens


def test_microlens_titles_with_and_without_header_are_the_same(tmp_path: Path) -> None:
    root = write_dataset("microlens", tmp_path)
    with_header = read_dataset("microlens", root)
    without = read_dataset(
        "microlens", root, interactions="MicroLens-100k_pairs.csv", items="MicroLens-100k_title_en.csv"
    )
    assert with_header.items.ids == without.items.ids == ("10", "11", "12", "13", "14")
    assert with_header.items.titles == without.items.titles


@pytest.mark.parametrize("edition", ["50k", "100k"])
def test_a_broken_download_is_told_by_its_count(tmp_path: Path, edition: str) -> None:
    root = write_dataset("microlens", tmp_path)
    found = message("microlens", root, edition=edition, interactions="null", items="null")
    published = {"50k": "359,708", "100k": "719,405"}[edition]
    assert f"MicroLens-{edition}_pairs.csv: 10 interactions, and this edition has {published}" in found
    assert "data.edition=null" in found


def test_microlens_counts_its_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MicroLens, "published_edition", lambda self: Edition(interactions=10, users=3))
    root = write_dataset("microlens", tmp_path)
    assert "2 users, and this edition has 3" in message("microlens", root)
    monkeypatch.setattr(MicroLens, "published_edition", lambda self: Edition(interactions=10, users=2))
    assert len(read_dataset("microlens", root).interactions) == 2


# PixelRec


def test_pixelrec_empty_titles_follow_the_policy(tmp_path: Path) -> None:
    root = write_dataset("pixelrec", tmp_path)
    assert "item_info.csv:3 (item 'i2')" in message("pixelrec", root, empty_titles="error")
    titles = read_dataset("pixelrec", root, text_fields="[title,tag,description]").items.titles
    assert titles is not None
    assert titles[:3] == (
        "A street in the rain. tag: city. description: Ten minutes",
        "tag: music",
        '第三. tag: food. description: said "hello", twice',
    )


# NineRec


def test_ninerec_without_times_is_read_from_its_sequences(tmp_path: Path) -> None:
    root = write_dataset("ninerec", tmp_path)
    catalogue = read_dataset("ninerec", root, dataset="QB", images="null")
    assert histories_of(catalogue) == {"u1": ["v1", "v2", "v3", "v4", "v5"], "u2": ["v6", "v5", "v4", "v3", "v2"]}
    assert catalogue.interactions.times is None
    assert catalogue.items.titles == tuple(f"Text {number}, in English" for number in range(1, 7))


def test_ninerec_users_may_stand_first(tmp_path: Path) -> None:
    root = write_dataset("ninerec", tmp_path)
    expected = histories_of(read_dataset("ninerec", root))
    pairs = root / "KU_pair.csv"
    swapped = [
        ",".join((user, item, time)) for item, user, time in (line.split(",") for line in pairs.read_text().split())
    ]
    pairs.write_text("\n".join(swapped))
    assert histories_of(read_dataset("ninerec", root)) == expected


def test_ninerec_files_of_two_data_sets_are_refused(tmp_path: Path) -> None:
    root = write_dataset("ninerec", tmp_path)
    edit(root / "KU_item.csv", "v", "w")
    assert "cannot be told; give the files of one data set" in message("ninerec", root)


def test_ninerec_pairs_alone_without_times_are_refused(tmp_path: Path) -> None:
    root = write_dataset("ninerec", tmp_path)
    (root / "QB_behaviour.tsv").unlink()
    assert "QB_pair.csv:1: found 2 columns, expected 3" in message("ninerec", root, dataset="QB", images="null")


# Amazon


def test_amazon_2023_reads_the_ready_list_of_ratings(tmp_path: Path) -> None:
    root = write_dataset("amazon_2023", tmp_path)
    rows = "".join(f"AE1,B{item},5.0,{1588687728923 + item}\n" for item in range(1, 6))
    (root / "Baby_Products.csv").write_text(f"user_id,parent_asin,rating,timestamp\n{rows}")
    found = message("amazon_2023", root)
    assert "Baby_Products.jsonl and Baby_Products.csv: say which is meant: data.interactions=" in found
    catalogue = read_dataset("amazon_2023", root, interactions="Baby_Products.csv")
    assert histories_of(catalogue) == {"AE1": ["B1", "B2", "B3", "B4", "B5"]}


def test_amazon_2023_missing_metadata_can_be_an_error(tmp_path: Path) -> None:
    root = write_dataset("amazon_2023", tmp_path)
    found = message("amazon_2023", root, unknown_items="error")
    assert "Baby_Products.jsonl:12: item 'B9' has no row in" in found


def test_amazon_text_of_lists_and_of_many_types(tmp_path: Path) -> None:
    root = write_dataset("amazon_2023", tmp_path)
    titles = read_dataset("amazon_2023", root, text_fields="[title,features,price,categories]").items.titles
    assert titles is not None
    assert titles[:3] == (
        "Bib 1. features: soft washable. price: 6.99. categories: Baby Bibs",
        "Bib 2. categories: Baby Bibs",
        "Bib 3. price: from 5.00. categories: Baby Bibs",
    )


def test_amazon_2018_item_stands_before_the_user_in_the_ratings(tmp_path: Path) -> None:
    root = write_dataset("amazon_2018", tmp_path)
    assert read_dataset("amazon_2018", root).interactions.users == ("A1", "A2")
    review = {"overall": 5.0, "reviewerID": "A9", "style": {"Size:": " 1"}}
    reviews = [json.dumps(review | {"asin": f"B{item}", "unixReviewTime": item}) for item in (5, 4, 2, 1)]
    (root / "All_Beauty_5.json").write_text("\n".join(reviews))
    catalogue = read_dataset("amazon_2018", root, interactions="All_Beauty_5.json")
    assert histories_of(catalogue) == {"A9": ["B1", "B2", "B4", "B5"]}


def test_amazon_2014_evaluates_nothing(tmp_path: Path) -> None:
    root = write_dataset("amazon_2014", tmp_path)
    meta = root / "meta_Baby.json"
    planted = tmp_path / "planted"
    edit(meta, "'price': 2.5", f"'price': open({str(planted)!r}, 'w')")
    said = message("amazon_2014", root)
    assert "meta_Baby.json:2: not one object (malformed node or string on line 1): " in said
    assert not planted.exists()


@pytest.mark.parametrize("line", ["(" * 100_000, "[" * 300_000, "'\\ud800'", "{'asin': 1 +", "3"])
def test_amazon_2014_lines_that_are_no_object_are_named(tmp_path: Path, line: str) -> None:
    root = write_dataset("amazon_2014", tmp_path)
    with (root / "meta_Baby.json").open("a") as file:
        file.write(line)
    assert "meta_Baby.json:6: not one object" in message("amazon_2014", root)


# H&M


def test_hm_ids_that_lost_their_zeros_are_refused(tmp_path: Path) -> None:
    root = write_dataset("hm", tmp_path)
    edit(root / "articles.csv", "0110065001", "110065001")
    assert "articles.csv:4: article_id is '110065001', and an article has 10 digits" in message("hm", root)


def test_hm_pictures_are_read_from_their_zip_too(tmp_path: Path) -> None:
    root = write_dataset("hm", tmp_path)
    shutil.make_archive(str(root / "pictures"), "zip", root_dir=root, base_dir="images")
    of_folder = read_dataset("hm", root).items.images
    of_zip = read_dataset("hm", root, images="pictures.zip").items.images
    assert of_folder is not None
    assert of_zip is not None
    assert all(of_folder.load(item) == of_zip.load(item) for item in range(5))


def test_hm_a_missing_picture_is_named(tmp_path: Path) -> None:
    root = write_dataset("hm", tmp_path)
    (root / "images/011/0110065001.jpg").unlink()
    found = message("hm", root, missing_images="error")
    assert "item '0110065001' at" in found
    assert "images/011/0110065001.jpg" in found


def test_hm_purchases_of_a_day_stay_as_the_file_has_them(tmp_path: Path) -> None:
    root = write_dataset("hm", tmp_path)
    times = read_dataset("hm", root).interactions.times
    assert times is not None
    assert times[0] == times[1] < times[2]
    kept = read_dataset("hm", root, repeated_interactions="keep")
    assert histories_of(kept)["00a"][1:3] == ["0108775044", "0108775044"]


# MMRec


def test_mmrec_items_stand_where_their_vectors_do(tmp_path: Path) -> None:
    root = write_dataset("mmrec", tmp_path)
    assert read_dataset("mmrec", root).items.ids == ("0", "1", "2", "3", "4")
    edit(root / "i_id_mapping.csv", "B4\t4", "B4\t7")
    assert "no item '4' among 5: items are numbered from 0 without gaps" in message("mmrec", root)


def test_mmrec_label_is_not_read(tmp_path: Path) -> None:
    """x_label is a random split: the last item by time is labelled as training here, and is the test target."""
    root = write_dataset("mmrec", tmp_path)
    source = source_of("mmrec", root)
    split = split_catalogue(source.read(titles=[], images=[]), source)
    assert [split.items.ids[item] for item in split.test.targets] == ["4", "0"]
    edit(root / "baby.inter", "x_label", "something")
    assert histories_of(read_dataset("mmrec", root))["0"] == ["0", "1", "2", "3", "4"]


def test_mmrec_without_its_vectors_is_told_all_that_is_wrong_at_once(tmp_path: Path) -> None:
    root = write_dataset("mmrec", tmp_path)
    source = source_of("mmrec", root)
    with pytest.raises(DataError) as caught:
        source.read(titles=["text"], images=["image"])
    said = str(caught.value)
    assert said.startswith(
        f"{root}: the text tower needs text and the data names no field, and the image tower needs images and the data "
        "names none: for vectors in place of both add towers=features "
    )
    _, vectors, ids = (part.partition("; ")[0] for part in said.split(" add "))
    dataset = ["data=mmrec", f"data.root={root}", "data.dataset=baby"]
    features = compose_settings([*dataset, *shlex.split(vectors)]).towers
    assert isinstance(features.text, ReadyFeatures)
    assert isinstance(features.image, ReadyFeatures)
    assert [features.text.file, features.image.file] == [f"{root}/text_feat.npy", f"{root}/image_feat.npy"]
    alone = compose_settings([*dataset, *ids.split()])
    assert alone.data.read(titles=alone.towers.text_readers, images=alone.towers.image_encoders).items.ids


@pytest.mark.parametrize(
    ("titles", "images", "said"),
    [
        (
            ["text"],
            [],
            "the text tower needs text and the data names no field: set data.text_fields='[COLUMN]' or towers.",
        ),
        ([], ["image"], "the image tower needs images and the data names none: set data.images=<folder, zip or LMDB "),
        (["a", "b"], [], "the a and b towers need text and the data names no field: set data.text_fields="),
    ],
)
def test_one_content_that_is_not_there_is_told_alone(
    titles: list[str], images: list[str], said: str, tmp_path: Path
) -> None:
    root = write_dataset("mmrec", tmp_path)
    with pytest.raises(DataError) as caught:
        source_of("mmrec", root).read(titles=titles, images=images)
    assert str(caught.value).startswith(f"{root}: {said}")


def test_mmrec_without_times_is_refused(tmp_path: Path) -> None:
    root = write_dataset("mmrec", tmp_path)
    edit(root / "baby.inter", "timestamp", "when")
    assert "there is no column 'timestamp'" in message("mmrec", root)


# MovieLens


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_movielens_with_double_colons_is_the_same(tmp_path: Path, encoding: str) -> None:
    root = write_dataset("movielens", tmp_path)
    expected = read_dataset("movielens", root)
    ratings, movies = root / "ratings.csv", root / "movies.csv"
    rows = [line.replace(",", "::") for line in ratings.read_text().splitlines()[1:]]
    (root / "ratings.dat").write_text("\n".join(rows))
    titles = "1::Toy Story (1995)::Animation\n2::American President, The (1995)::Comedy\n3::Heat (1995)::Action\n"
    (root / "movies.dat").write_bytes(
        f"{titles}4::Misérables, Les (1995)::Drama\n5::Casino (1995)::Crime".encode(encoding)
    )
    assert "ratings.csv and ratings.dat: say which is meant" in message("movielens", root, items="movies.csv")
    ratings.unlink()
    movies.unlink()
    found = read_dataset("movielens", root)
    assert found.items.titles == expected.items.titles
    assert histories_of(found) == histories_of(expected)
    (root / "movies.dat").write_text("1::Toy\tStory::Comedy")
    assert "movies.dat:1: holds a tab" in message("movielens", root)


def test_movielens_counts_are_compared_where_asked(tmp_path: Path) -> None:
    root = write_dataset("movielens", tmp_path)
    assert "10 interactions, and this edition has 1,000,209" in message("movielens", root, edition="1m")


# Yelp


def test_yelp_first_photograph_of_a_label_is_the_picture(tmp_path: Path) -> None:
    root = write_dataset("yelp", tmp_path)
    any_label, food = (read_dataset("yelp", root, photo_labels=labels).items.images for labels in ("[]", "[food]"))
    assert isinstance(any_label, FolderImages)
    assert isinstance(food, FolderImages)
    assert any_label.names[:2] == ("photos/p0.jpg", "photos/p2.jpg")
    assert food.names[:2] == ("photos/p1.jpg", "photos/p2.jpg")


def test_yelp_without_pictures_needs_no_photos(tmp_path: Path) -> None:
    root = write_dataset("yelp", tmp_path)
    (root / "photos.json").unlink()
    assert read_dataset("yelp", root, images="null").items.images is None
    assert "photos.json: no such file: correct data.photos" in message("yelp", root)


# What all share


def test_missing_files_are_named_with_what_lies_there(tmp_path: Path) -> None:
    root = write_dataset("amazon_2014", tmp_path)
    (root / "ratings_Baby.csv").unlink()
    assert message("amazon_2014", root) == (
        f"{root}: holds no ratings_Baby.csv or reviews_Baby_5.json (each may be .gz), but meta_Baby.json: correct "
        "data.root, or name the file: data.interactions=FILE"
    )
    (root / "mine.parquet").touch()
    found = message("amazon_2014", root, interactions="mine.parquet")
    assert found == "data.interactions=mine.parquet: the suffix tells no form of this data set: it is .csv or .json"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"timestamp": 1588687728999', '"timestamp": "soon"', "jsonl:6: timestamp is 'soon', not a whole number"),
        ('"timestamp": 1588687728999', '"timestamp": ', "jsonl:6: Expecting value"),
        ('"user_id": "AE2"', '"user_id": 7', "jsonl:7: user_id is 7, not text"),
        ('"user_id"', '"reviewer"', "jsonl: no line has a field 'user_id'"),
        ('"parent_asin": "B1", "user_id": "AE2"', '"user_id": "AE2"', "jsonl:7: parent_asin is empty"),
        ("B9", "B1\x00", "jsonl:12: Invalid control character"),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    root = write_dataset("amazon_2023", tmp_path)
    edit(root / "Baby_Products.jsonl", old, new)
    assert expected in message("amazon_2023", root)


def test_empty_lines_of_json_keep_the_numbers_of_the_others(tmp_path: Path) -> None:
    root = write_dataset("amazon_2023", tmp_path)
    reviews = root / "Baby_Products.jsonl"
    reviews.write_text("\n\n" + reviews.read_text().replace("\n", "\n\n"))
    assert "Baby_Products.jsonl:25: item 'B9' has no row in" in message("amazon_2023", root, unknown_items="error")
    reviews.write_text("\n")
    assert "Baby_Products.jsonl: " in message("amazon_2023", root)


def test_every_data_set_has_a_page() -> None:
    pages = Path(__file__).parents[3] / "docs" / "data"
    assert {page.stem for page in pages.glob("*.md")} >= {folder.name for folder in PUBLISHED.iterdir()}


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "remedy"),
    [
        ("movielens", "ratings.csv", "userId,", "user,", "call its columns userId, movieId and timestamp"),
        ("movielens", "movies.csv", "movieId,", "id,", "call its columns movieId"),
        (
            "pixelrec",
            "interaction.csv",
            "item_id,user_id",
            "item,user",
            "call its columns user_id, item_id and timestamp",
        ),
        ("hm", "transactions_train.csv", "t_dat,", "day,", "call its columns customer_id, article_id and t_dat"),
    ],
)
def test_a_published_column_that_is_gone_is_no_value_of_a_key(
    tmp_path: Path, name: str, file: str, old: str, new: str, remedy: str
) -> None:
    """`data.interactions` and `data.items` name files."""
    root = write_dataset(name, tmp_path)
    edit(root / file, old, new)
    said = message(name, root)
    assert said.startswith(f"{root / file}: there is no column ")
    assert said.endswith(f"; take the file as it is published, or {remedy}")
    assert "set data." not in said
