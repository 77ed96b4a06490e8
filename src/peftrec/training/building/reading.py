"""What a run reads: the data, for the modalities that its towers take."""

from collections.abc import Sequence

from peftrec.data.catalogue import Catalogue
from peftrec.data.choices import TITLE
from peftrec.data.feature_screening import attach_features
from peftrec.data.split import Split, split_catalogue
from peftrec.errors import SettingsError
from peftrec.models.towers.names import TowerName
from peftrec.settings.run import Settings


def prepare_data(settings: Settings) -> Split:
    """Read and split the data. Raises SettingsError where the user encoder reads times that the data does not have."""
    split = split_catalogue(read_catalogue(settings), settings.data)
    if settings.user_encoder.reads_times and split.windows.times is None:
        raise SettingsError(
            "user_encoder: it reads when items were taken, and this data holds no times; name their column, or choose "
            "another user encoder"
        )
    return split


def read_catalogue(settings: Settings) -> Catalogue:
    """Read the data. All strategies read the modalities of the towers, ids too, so that policies on missing content
    drop the same items for each and all rank the same candidates."""
    towers = settings.towers
    features = towers.feature_files()
    catalogue = read_content(settings, images=list(towers.image_encoders))
    return attach_features(catalogue, settings.data, features)


def read_content(settings: Settings, *, images: Sequence[TowerName]) -> Catalogue:
    """Read the data with the texts that towers read, and with images for the towers that are named."""
    readers = settings.towers.text_readers
    further = {name: towers for name, towers in readers.items() if name != TITLE}
    return settings.data.read(titles=readers.get(TITLE, ()), images=images, texts=further)


def unread_texts(settings: Settings) -> list[str]:
    """Return what is to be said of texts that the configuration names and no tower reads."""
    unread = settings.data.unread_texts(settings.towers.text_readers)
    return [f"data.texts.{name}: no tower reads it; one does by towers.NAME.text={name}" for name in unread]
