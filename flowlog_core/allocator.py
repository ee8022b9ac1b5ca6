"""Keep freed memory in the process between two events, where the C library is glibc."""

from __future__ import annotations

import ctypes
import platform

# Of glibc's malloc.h; mallopt(3) describes them.
_M_TRIM_THRESHOLD, _M_TOP_PAD = -1, -2
TRIM_THRESHOLD_BYTES = 16 * 1024 * 1024
"""What stays in each arena after it was freed."""
TOP_PAD_BYTES = 1024 * 1024
"""What is taken from the system in addition, whenever an arena grows."""


def keep_freed_memory() -> bool:
    """Let glibc keep what an event freed for the next one; False with any other C library.

    By default it gives memory back after each event and takes it again, page by page. Environment
    variables could say the same, but a pre-warmed worker of Flex Consumption has started before
    the app's settings are known.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # statically linked, or not glibc
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    options = {_M_TRIM_THRESHOLD: TRIM_THRESHOLD_BYTES, _M_TOP_PAD: TOP_PAD_BYTES}
    return all(mallopt(option, value) == 1 for option, value in options.items())
