"""Where a checkpoint's files are: a local folder, or a hub repository at one revision. What is missing is one error
that says how to get it. Only JSON, text and safetensors are read; nothing is unpickled."""

import functools
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from peftrec.errors import SettingsError

_PACKAGE = "package:"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Files of a checkpoint that serve one purpose."""

    purpose: str
    files: tuple[str, ...]
    """Names and patterns of all that is fetched, as far as the repository has it."""
    enough: tuple[tuple[str, ...], ...]
    """Sets of files, of which one must be whole."""
    remedy: str
    """What to do where it is missing; `{name}` stands for the checkpoint, `{key}` for its key."""
    usual: tuple[str, ...] = ()
    """Files that nearly every repository has: a cache without them may be a download that was cut off."""

    def is_in(self, folder: Path) -> bool:
        """Say whether `folder` holds enough of it."""
        return any(all((folder / file).exists() for file in files) for files in self.enough)


CONFIG = Part(
    purpose="config",
    files=("config.json",),
    enough=(("config.json",),),
    remedy="give a folder in Hugging Face format",
)
WEIGHTS = Part(
    purpose="safetensors weights",
    files=("config.json", "model.safetensors", "model.safetensors.index.json", "model-*.safetensors"),
    enough=(("model.safetensors",), ("model.safetensors.index.json",)),
    remedy="other formats (pytorch_model.bin) are never read, because unpickling can run code; where you trust them, "
    "convert them once: python -c \"from transformers import AutoModel; AutoModel.from_pretrained('{name}')"
    ".save_pretrained('DIR')\", then {key}=DIR",
)
TOKENIZER = Part(
    purpose="tokenizer",
    files=(
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
    ),
    enough=(("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt")),
    usual=("tokenizer_config.json",),
    remedy="a sentencepiece model alone is not read; where sentencepiece is installed, make tokenizer.json once: "
    "python -c \"from transformers import AutoTokenizer; AutoTokenizer.from_pretrained('{name}')"
    ".save_pretrained('DIR')\", then towers.text.tokenizer=DIR",
)
PROCESSOR = Part(
    purpose="image processor",
    files=("preprocessor_config.json", "processor_config.json"),
    enough=(("preprocessor_config.json",), ("processor_config.json",)),
    remedy="copy the file there, or set towers.image.image_size, mean and std",
)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One pretrained model's files."""

    key: str
    """Key of the configuration that names it."""
    name: str
    """Hub name, local folder, or `package:` and a folder inside this package."""
    revision: str | None = None

    def folder(self, part: Part) -> Path:
        """Return the local folder that holds `part`, downloaded where it is on the hub alone.

        Raises SettingsError, which says how to get the files, where there is no such folder, repository or part.
        """
        local = self._local()
        folder = local or self._cached(part) or self._download(part)
        if not part.is_in(folder):
            enough = ", or ".join(" with ".join(files) for files in part.enough)
            remedy = part.remedy.format(name=self.name, key=self.key)
            if local:
                raise SettingsError(f"{self.key}: {self.name} holds no {part.purpose}: {enough}; {remedy}")
            raise SettingsError(
                f"{self.key}: {self.name!r}{self._at()} has no {part.purpose} in the hub's cache ({enough}). If the "
                f"hub could not be reached, the cache may hold a part of it: {self._by_hand()}. If the repository has "
                f"none: {remedy}"
            )
        return folder

    def address(self) -> str:
        """Return what other libraries load it by: its hub name, or the whole path of a local folder."""
        local = self._local()
        return self.name if local is None else str(local.resolve())

    def weight_files(self) -> list[Path]:
        """Return the safetensors files, every shard of them."""
        folder = self.folder(WEIGHTS)
        files = _weight_files(folder)
        if missing := [file.name for file in files if not file.exists()]:
            raise SettingsError(f"{self.key}: {folder} lacks shards of its weights: {', '.join(missing)}")
        return files

    def tokenizer_hash(self) -> str:
        """Hash the files that decide what a tokenizer does, by name and content."""
        folder = self.folder(TOKENIZER)
        digest = hashlib.sha256()
        for name in TOKENIZER.files[1:]:
            if (folder / name).exists():
                digest.update(f"{name} {hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n".encode())
        return digest.hexdigest()

    def commit(self) -> str | None:
        """Return the commit that a hub name at this revision stands for here; null for a local folder."""
        return None if self._local() else self.folder(CONFIG).name  # the cache names snapshots by commits

    def _local(self) -> Path | None:
        if self.name.startswith(_PACKAGE):
            return Path(__file__).parents[2] / self.name.removeprefix(_PACKAGE)
        folder = Path(self.name).expanduser()
        return folder if folder.is_dir() else None

    def _cached(self, part: Part) -> Path | None:
        """Ask the cache alone where a commit is pinned: it cannot have moved, and without a network asking is slow."""
        if self.revision is None or not _COMMIT.fullmatch(self.revision):
            return None
        try:
            folder = _snapshot(self.name, self.revision, part.files, is_local=True)
        except (LocalEntryNotFoundError, HFValidationError):
            return None
        needed = [*(folder / name for name in part.usual), *_weight_files(folder)]
        is_whole = part.is_in(folder) and all(file.exists() for file in needed)
        return folder if is_whole else None

    def _download(self, part: Part) -> Path:
        try:
            return _snapshot(self.name, self.revision, part.files, is_local=False)
        except HFValidationError as error:
            raise SettingsError(
                f"{self.key}: there is no folder {self.name!r}, and it is no hub name; give a folder in Hugging Face "
                "format, or the name of a hub repository"
            ) from error
        except LocalEntryNotFoundError as error:
            raise SettingsError(
                f"{self.key}: {self.name!r}{self._at()} is no folder here and not whole in the hub's cache, and the "
                f"hub cannot be reached; {self._by_hand()}"
            ) from error
        except (RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError) as error:
            raise SettingsError(
                f"{self.key}: {self.name!r}{self._at()} is no folder here, and the hub does not give it out "
                f"({type(error).__name__}); correct the name or the revision, or log in with `hf auth login`"
            ) from error

    def _by_hand(self) -> str:
        revision = f" --revision {self.revision}" if self.revision else ""
        download = f"`hf download {self.name}{revision} --local-dir DIR`"
        return f"where there is a network run {download}, then {self.key}=DIR"

    def _at(self) -> str:
        return f" at revision {self.revision}" if self.revision else ""


def _weight_files(folder: Path) -> list[Path]:
    """List the safetensors files that a folder holds, or that its index says it should."""
    index = folder / "model.safetensors.index.json"
    if (whole := folder / "model.safetensors").exists() or not index.exists():
        return [whole] if whole.exists() else []
    return [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]


@functools.cache
def _snapshot(name: str, revision: str | None, files: tuple[str, ...], *, is_local: bool) -> Path:
    """Fetch once a process, so that a branch that moves cannot give a run two versions of one model."""
    return Path(snapshot_download(name, revision=revision, allow_patterns=list(files), local_files_only=is_local))
