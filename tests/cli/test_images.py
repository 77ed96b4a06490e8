"""`peftrec images pack`: help without heavy imports, what it prints, and one line for every mistake."""

import subprocess
import sys
from pathlib import Path

import pytest

from peftrec.cli import main as cli
from peftrec.data.images.opening import open_images
from small_images import encoded, small_contents, write_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_folder(tmp_path / "images", small_contents())


def test_packing_prints_what_it_wrote(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["images", "pack", "images", "new/images.lmdb"]) == 0
    size = sum(map(len, small_contents().values()))
    assert capsys.readouterr().out == f"new/images.lmdb: 4 images, {size:,} bytes\n"
    assert len(open_images(Path("new/images.lmdb"), None, key="SOURCE")) == 4


def test_corrupt_images_are_listed_where_they_are_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.jpg").write_bytes(b"no image")
    assert cli.main(["images", "pack", "images", "images.zip"]) == 2
    assert capsys.readouterr().err.startswith("error: 1 of 4 images are corrupt: images/a.jpg: 8 bytes that")
    assert cli.main(["images", "pack", "images", "images.zip", "corrupt=skip"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("images.zip: 3 images, ")
    assert lines[1:] == [
        "1 left out as corrupt:",
        "  images/a.jpg: 8 bytes that are no JPEG, PNG, WebP, GIF, BMP or AVIF image",
    ]


def test_what_is_left_out_is_counted_by_its_kind(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("fetched.csv", "notes.txt", "more.txt", "README", ".hidden"):
        (folder / name).write_bytes(b"no image")
    assert cli.main(["images", "pack", "images", "images.zip"]) == 0
    others = "4 left out as no pictures, by their suffix: 2 .txt, 1 .csv, 1 without a suffix"
    assert capsys.readouterr().out.splitlines()[1:] == [others]
    for name in ("e.tif", "f.HEIC"):
        (folder / name).write_bytes(b"a picture")
    assert cli.main(["images", "pack", "images", "again.zip"]) == 2
    assert capsys.readouterr().err == (
        "error: images: 2 of 6 pictures are of formats that are not read (1 .heic, 1 .tif): convert them to JPEG or "
        "PNG, or leave them out with corrupt=skip\n"
    )
    assert not Path("again.zip").exists()
    assert cli.main(["images", "pack", "images", "again.zip", "corrupt=skip"]) == 0
    unread = "2 left out, of formats that are not read: 1 .heic, 1 .tif"
    assert capsys.readouterr().out.splitlines()[1:] == [unread, others]


def test_size_and_quality_are_used(folder: Path) -> None:
    (folder / "a.jpg").write_bytes(encoded(0, "jpg", size=(80, 60)))
    for quality in (20, 90):
        arguments = ["images", "pack", "images", f"{quality}.zip", "size=30", f"quality={quality}"]
        assert cli.main(arguments) == 0
    small, large = (open_images(Path(f"{quality}.zip"), ("a",), key="SOURCE") for quality in (20, 90))
    assert small.load(0).size == (40, 30)
    assert len(small.read("a.jpg")) < len(large.read("a.jpg"))


def test_an_existing_target_is_replaced_only_on_request(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.zip").write_bytes(b"old")
    assert cli.main(["images", "pack", "images", "x.zip"]) == 2
    assert capsys.readouterr().err == "error: x.zip: exists; choose another target, or set overwrite=true\n"
    assert Path("x.zip").read_bytes() == b"old"
    assert cli.main(["images", "pack", "images", "x.zip", "overwrite=true"]) == 0
    assert len(open_images(Path("x.zip"), None, key="SOURCE")) == 4


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "expected pack SOURCE TARGET or fetch TABLE TARGET, got nothing"),
        (["unpack", "a", "b.zip"], "expected pack SOURCE TARGET or fetch TABLE TARGET, got unpack a b.zip"),
        (["pack"], "expected pack SOURCE TARGET, got 0 paths: none"),
        (["pack", "a", "b", "c.zip"], "expected pack SOURCE TARGET, got 3 paths: a b c.zip"),
        (["pack", "images", "x.tar"], "x.tar: a target ends in .zip or .lmdb"),
        (["pack", "images", "x.zip", "siz=3"], "unknown option siz; did you mean size?"),
        (["pack", "images", "x.zip", "foo=3"], "unknown option foo; choose one of size, quality, corrupt, overwrite"),
        (["pack", "images", "x.zip", "size=3"], "size=3: expected a whole number from 16 to 4096"),
        (["pack", "images", "x.zip", "size="], "size=: give size a value"),
        (["pack", "images", "x.zip", "size=20", "quality=96"], "quality=96: expected a whole number from 1 to 95"),
        (["pack", "images", "x.zip", "quality=80"], "quality belongs to size=PIXELS, which makes JPEGs"),
        (["pack", "images", "x.zip", "corrupt=blank"], "corrupt=blank: expected error or skip"),
        (["pack", "images", "x.zip", "overwrite=yes"], "overwrite=yes: expected true or false"),
        (["pack", "nowhere", "x.zip"], "nowhere: no such folder, zip or LMDB of images: correct SOURCE"),
        (["pack", "images", "folder.zip"], "folder.zip: is a folder; choose another target"),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder.zip").mkdir()
    assert cli.main(["images", *arguments]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {expected}")
    assert shown.count("\n") == 1
    assert not Path("x.zip").exists()


def test_a_path_with_an_equals_sign_is_a_path(folder: Path) -> None:
    assert cli.main(["images", "pack", "./images", "./a=b.zip"]) == 0
    assert Path("a=b.zip").exists()


def test_help_tells_the_options_and_imports_nothing_heavy(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["images", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(
        word in shown for word in ("SOURCE TARGET", "size=", "quality=", "corrupt=", "overwrite=", "data.images")
    )
    program = (
        "import sys; from peftrec.cli.main import main\n"
        "main(['images', '--help'])\n"
        "sys.exit(bool({'torch', 'hydra', 'pydantic', 'PIL', 'lmdb', 'numpy', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, stdout=subprocess.DEVNULL).returncode == 0


def test_packing_needs_no_torch(folder: Path) -> None:
    program = (
        "import sys; from peftrec.cli.main import main\n"
        "status = main(['images', 'pack', 'images', 'x.lmdb'])\n"
        "sys.exit(status or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, stdout=subprocess.DEVNULL).returncode == 0
