"""Text and evidence in, decided events out. `filter_text` is the whole of it for a text that is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filters.offline import filter_text as filter_text

__all__ = ["filter_text"]


def __getattr__(name: str) -> object:
    """Loads the detectors when they are asked for, not whenever something of this package is imported."""
    if name != "filter_text":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from filters.offline import filter_text

    return filter_text
