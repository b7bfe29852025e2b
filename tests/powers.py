"""Doing without root's power to write everywhere (CAP_DAC_OVERRIDE), as a gateway does that is not run as root."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION = 0x20080522  # of the structures below: capset(2), _LINUX_CAPABILITY_VERSION_3
_DAC_OVERRIDE = 1 << 1
_Sets = ctypes.c_uint32 * 6  # effective, permitted and inheritable, of the lower 32 powers and of the upper


class _Whose(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


@contextmanager
def as_others() -> Iterator[None]:
    """Let the modes of files say where this thread may write, whoever runs it."""
    if os.geteuid() != 0:
        yield
        return
    libc, whose, sets = ctypes.CDLL(None, use_errno=True), _Whose(_VERSION, 0), _Sets()
    _call(libc.capget, whose, sets)
    before, sets[0] = sets[0], sets[0] & ~_DAC_OVERRIDE
    _call(libc.capset, whose, sets)
    try:
        yield
    finally:
        sets[0] = before
        _call(libc.capset, whose, sets)


def _call(function: ctypes._NamedFuncPointer, whose: _Whose, sets: ctypes.Array[ctypes.c_uint32]) -> None:
    if function(ctypes.byref(whose), ctypes.byref(sets)) != 0:
        raise OSError(ctypes.get_errno(), "the powers of this thread cannot be set")
