"""Which Tightlip this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    try:
        return version("tightlip")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"
