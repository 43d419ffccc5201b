"""Keeps the files of one request while they arrive: a little in memory, more in a temporary file without a name.

The file is gone when it is closed. Knows no HTTP and no photos.
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
from typing import IO, cast

from webapp.slots import Overloaded

# A photo of everyday size never sees the disk. As many bytes at most are held for each upload slot.
MEMORY_BYTES = 256 * 1024
RETRY_AFTER_S = 30


class Spool:
    """Files that are written one after the other, and read in any order and by any thread.

    Args:
        max_file_bytes: of a larger file nothing is kept but its size.
    """

    def __init__(self, max_file_bytes: int) -> None:
        self.max_file_bytes = max_file_bytes
        self.end = 0
        self._memory = bytearray()
        self._file: IO[bytes] | None = None

    def begin(self) -> SpooledFile:
        """Return a new file; the one before must be complete."""
        return SpooledFile(self, self.end)

    def fileno(self) -> int:
        """Return the descriptor of the temporary file, where all is from now on.

        Raises:
            Overloaded: the disk is full.
        """
        if self._file is None:
            self._file = cast("IO[bytes]", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - lives as long as the request
            self._write(self._memory, 0)
            self._memory.clear()
        return self._file.fileno()

    def append(self, data: bytes) -> None:
        """Write at `end`, which moves.

        Raises:
            Overloaded: the disk is full.
        """
        begin, self.end = self.end, self.end + len(data)
        if self._file is None and self.end <= MEMORY_BYTES:
            self._memory[begin:] = data
        else:
            self._write(data, begin)

    def read_at(self, begin: int, buffer: memoryview) -> int:
        """Fill a buffer from what was written; return how much there was."""
        if self._file is not None:
            return os.preadv(self._file.fileno(), [buffer], begin)
        found = memoryview(self._memory)[begin : begin + len(buffer)]
        buffer[: len(found)] = found
        return len(found)

    def _write(self, data: bytes | bytearray, begin: int) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self.fileno(), view, begin)
                begin += written
                view = view[written:]
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            raise Overloaded("The server's disk is full; please try again later.", RETRY_AFTER_S) from error

    def close(self) -> None:
        """Give the disk space back."""
        if self._file is not None:
            self._file.close()


class SpooledFile(io.RawIOBase):
    """One file of a spool. Only one thread may read it at a time."""

    def __init__(self, spool: Spool, begin: int) -> None:
        self._spool, self._begin, self._position = spool, begin, 0
        self.size_bytes = 0

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def writable(self) -> bool:
        """Whether it can be written: at its end."""
        return True

    def seekable(self) -> bool:
        """Whether it can be read anywhere: yes."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # bytes are all that comes
        """Add to the end.

        Raises:
            Overloaded: the disk is full.
        """
        kept = self.size_bytes <= self._spool.max_file_bytes
        self.size_bytes += len(data)
        if self.size_bytes > self._spool.max_file_bytes:
            self._spool.end = self._begin  # what is there already serves nobody
        elif kept:
            self._spool.append(data)
        return len(data)

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any writable buffer does
        """Read on from the position."""
        kept_bytes = 0 if self.size_bytes > self._spool.max_file_bytes else self.size_bytes
        room = memoryview(buffer)[: max(0, kept_bytes - self._position)]
        count = self._spool.read_at(self._begin + self._position, room)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size_bytes}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position
