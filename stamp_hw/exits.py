"""What a run ends with: its exit code, and the one line that an error of the machine becomes.

0: all is well. 1: something was checked and is wrong, a difference for one. 2: nothing was checked: wrong use, wrong
input, a missing tool, a place that cannot be written or too little memory. 3: what does the checking broke.
"""

from __future__ import annotations

import errno
import traceback
from concurrent.futures import BrokenExecutor

from stamp_hw.errors import OutputError, StampError, short_of_memory

OK, FOUND, REFUSED, BROKEN = range(4)

#: For the end of a command's help.
HELP = ("exit codes: 0 nothing is wrong; 1 a difference was found, or nothing compared; 2 wrong use or input, a "
        "missing tool, a place that cannot be written, too little memory; 3 a bench or the program itself broke")

_MEMORY = (errno.ENOMEM, errno.EAGAIN)  # the second is what a process gets that may not fork
_PLACES = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOTDIR,
           errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EMFILE, errno.ENFILE, errno.ELOOP)


def refusal(error: BaseException) -> StampError | None:
    """The error that a user can mend behind any error: itself, too little memory, a place that cannot be used.

    None for all others, which are bugs.
    """
    if isinstance(error, StampError):
        return error
    if isinstance(error, MemoryError) or isinstance(error, OSError) and error.errno in _MEMORY:
        return short_of_memory(str(error) or None)
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return short_of_memory(str(error))
    if isinstance(error, OSError) and error.filename is not None and error.errno in _PLACES:
        return OutputError("cannot be used", where=str(error.filename), got=error.strerror or str(error),
                           expected="a readable file, a writable folder with free space")
    return None


def broken(error: BaseException) -> str:
    """What to print of an error that nobody foresaw: its traceback, or one line where that says nothing."""
    if isinstance(error, BrokenExecutor):
        return "a process of the run was ended from outside, for want of memory perhaps"
    return "".join(traceback.format_exception(error)).rstrip() + "\nthis is a mistake of stamp-hw, not of its user"
