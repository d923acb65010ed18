"""Where programs of tests are: in the folder that KUBEBUILDER_ASSETS names, as other projects' tests have it, or on the
PATH."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def find(name: str) -> str | None:
    """Its path under that very name: one program may be several, by what it is called."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if folder and os.access(Path(folder) / name, os.X_OK):
        return str(Path(folder).resolve() / name)
    return shutil.which(name)
