"""The error of all that is wrong with data."""

from __future__ import annotations

from swe.base.errors import SweError


class DataError(SweError, ValueError):
    """Bad input data; the message is one line that names the file and the reason."""
