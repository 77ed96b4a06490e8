"""The word `content_neighbours=`, which several verbs take."""

from collections.abc import Mapping
from typing import Literal

from peftrec.serving.given import given_weight

CONTENT_NEIGHBOURS = "content_neighbours"
VALUES = ("auto", "off")


def content_weight(own: Mapping[str, str]) -> float | Literal["auto", "off"]:
    """Read the word; `off` where it is missing. Raises SettingsError for what is no weight."""
    text = own.get(CONTENT_NEIGHBOURS, "off")
    try:
        number = float(text)
    except ValueError:
        return given_weight(CONTENT_NEIGHBOURS, text)
    return given_weight(CONTENT_NEIGHBOURS, number)
