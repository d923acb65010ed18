"""Numpy's BLAS is held to one thread, where it is the one of numpy's wheel."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from gateway.embedded.threads import hold_blas_to_one_thread

LIBRARIES = [*Path(np.__file__).parent.parent.glob("numpy.libs/libscipy_openblas*")]


@pytest.mark.skipif(not LIBRARIES, reason="this numpy brings no OpenBLAS")
def test_one_thread_is_left() -> None:
    library = ctypes.CDLL(str(LIBRARIES[0]))
    library.scipy_openblas_set_num_threads64_(2)
    hold_blas_to_one_thread()
    assert library.scipy_openblas_get_num_threads64_() == 1
