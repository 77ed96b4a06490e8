"""Where the yaml files are. Imports nothing, so that help stays fast."""

from pathlib import Path


def config_directory() -> Path:
    """Return the folder of yaml files: inside the package where it is a wheel, else at the repository's root.

    Absolute, because Hydra resolves a relative one differently for console scripts.
    """
    package = Path(__file__).resolve().parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parents[1] / "conf"


def group_folders(root: Path) -> list[Path]:
    """Return the folders of swappable parts below a root; a folder with a root of its own belongs to another verb."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not (path / "config.yaml").exists())
