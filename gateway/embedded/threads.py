"""Holds numpy's matrix products to one thread.

OpenBLAS by itself splits even small products and then waits for the other cores. Measured on two cores with a model of
three million parameters: a little faster while the second is idle, an eighth of the speed (116 tokens/s instead of 990)
while others work there.
"""

import ctypes
from pathlib import Path

import numpy as np

SETTERS = ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads64_", "openblas_set_num_threads")


def hold_blas_to_one_thread() -> None:
    """Set the OpenBLAS that numpy's wheel brings, for the whole process; a numpy built otherwise is left as it is."""
    home = Path(np.__file__).parent
    for path in [*home.parent.glob("numpy.libs/*openblas*"), *home.glob(".dylibs/*openblas*")]:
        library = ctypes.CDLL(str(path))  # already loaded: this only finds it
        for name in SETTERS:
            if hasattr(library, name):
                getattr(library, name)(1)
