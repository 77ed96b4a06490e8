"""Where a checkpoint's files are: a local folder, or a hub repository at one revision. What is missing is one error
that says how to get it. Only JSON, text and safetensors are read; nothing is unpickled."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from peftrec.data.stand_ins import stand_in
from peftrec.errors import SettingsError
from peftrec.files import at_home
from peftrec.models.towers.hub import HubRepository, snapshot
from peftrec.models.towers.sentence_modules import SETTINGS_FILES, WEIGHTS_FILES
from peftrec.models.towers.weight_files import INDEX, WHOLE, check_weight_file, weight_files

_PACKAGE = "package:"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BLOCK = 2**20
"""Bytes that are hashed at a time."""


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
        return any(all((folder / file).is_file() for file in files) for files in self.enough)


CONFIG = Part(
    purpose="config",
    files=("config.json", *SETTINGS_FILES),
    enough=(("config.json",),),
    remedy="give a folder in Hugging Face format",
)
WEIGHTS = Part(
    purpose="safetensors weights",
    files=("config.json", WHOLE, INDEX, "model-*.safetensors", *SETTINGS_FILES, *WEIGHTS_FILES),
    enough=((WHOLE,), (INDEX,)),
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
    ".save_pretrained('DIR')\", then {tower}.tokenizer=DIR",
)
PROCESSOR = Part(
    purpose="image processor",
    files=("preprocessor_config.json", "processor_config.json"),
    enough=(("preprocessor_config.json",), ("processor_config.json",)),
    remedy="copy the file there, or set {tower}.image_size, mean and std",
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

        Raises SettingsError, which says how to get the files, where there is no such folder, repository or part, or
        where something else stands in a file's place.
        """
        local = self._local()
        folder = local or self._cached(part) or self._hub().fetch(part.files)
        if not part.is_in(folder):
            enough = ", or ".join(" with ".join(files) for files in part.enough)
            remedy = part.remedy.format(name=self.name, key=self.key, tower=self.key.rpartition(".")[0])
            if local:
                raise SettingsError(f"{self.key}: {self.name} holds no {part.purpose}: {enough}; {remedy}")
            raise SettingsError(
                f"{self.key}: {self._hub()} has no {part.purpose} in the hub's cache ({enough}). If the hub could not "
                f"be reached, the cache may hold a part of it: {self._hub().by_hand()}. If the repository has none: "
                f"{remedy}"
            )
        for file in sorted(file for pattern in part.files for file in folder.glob(pattern)):
            if (what := stand_in(file)) is not None:
                raise SettingsError(f"{self.key}: {file}: {what}")
        return folder

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine, and no repository of the hub."""
        return self._local() is not None

    def name_without_place(self) -> str:
        """Return its name as it is on any machine: of a local folder the last part of its path."""
        local = self._local()
        return self.name if local is None or self.name.startswith(_PACKAGE) else local.resolve().name

    def portable_name(self) -> str:
        """Return what others know the weights by: a name on the hub, or that of a local folder with the digest of its
        weights, in words that no library takes for a repository of the hub."""
        if not self.is_local:
            return self.name
        return f"{self.name_without_place()} (local checkpoint, sha256 {self.weights_digest()})"

    def weights_digest(self) -> str:
        """Hash the weights: what `sha256sum model.safetensors` says, or of shards `cat model-*.safetensors |
        sha256sum`."""
        digest = hashlib.sha256()
        for file in self.weight_files():
            with file.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
        return digest.hexdigest()

    def weight_files(self) -> list[Path]:
        """Return the safetensors files, every shard of them, which are there and whole."""
        try:
            files = weight_files(self.folder(WEIGHTS))
            for file in files:
                check_weight_file(file)
        except ValueError as error:
            again = "copy it there again" if self._local() else self._hub().by_hand()
            raise SettingsError(f"{self.key}: {error}; {again}") from error
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
        folder = at_home(self.name)
        return folder if folder.is_dir() else None

    def _cached(self, part: Part) -> Path | None:
        """Ask the cache alone where a commit is pinned: it cannot have moved, and without a network asking is slow."""
        if self.revision is None or not _COMMIT.fullmatch(self.revision):
            return None
        try:
            folder = snapshot(self.name, self.revision, part.files, is_local=True)
            needed = [*(folder / name for name in part.usual), *weight_files(folder)]
        except (LocalEntryNotFoundError, HFValidationError, ValueError):
            return None
        is_whole = part.is_in(folder) and all(file.exists() for file in needed)
        return folder if is_whole else None

    def _hub(self) -> HubRepository:
        return HubRepository(key=self.key, name=self.name, revision=self.revision)
