"""Errors that a user can mend: each message names the place (file and line, or key) and the remedy."""


class UserError(Exception):
    """Something in the user's input is wrong; the command line prints the message alone, without a traceback."""


class SettingsError(UserError):
    """A key of the configuration is unknown, has the wrong type, or contradicts another key."""


class DataError(UserError):
    """A file of items, interactions or images is missing or malformed."""


class StoreError(UserError):
    """A hidden-state store is stale, truncated, or belongs to other towers or items."""


class CheckpointError(UserError):
    """A checkpoint does not fit the model that the recorded configuration builds."""


class RecordError(UserError):
    """A run record is missing, malformed, or cannot be compared with the others."""
