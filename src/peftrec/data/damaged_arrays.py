"""What numpy raises on a file that is no array, or no whole one; files that cannot be opened raise OSError as usual."""

import struct
import tokenize
import zipfile
import zlib

DAMAGED_ARRAYS = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError),  # of the archive around arrays
    *(ValueError, TypeError, LookupError, SyntaxError, tokenize.TokenError),  # of a header, which numpy parses
    *(OverflowError, MemoryError),  # of a shape that a damaged header claims
)
