"""The resumable part store: parts of object versions on a local disk, and proof of what is there.

It knows nothing of HTTP, FUSE or trio; every call may block unless its docstring says otherwise,
and every object may be used from any thread.

What the store promises
-----------------------

*One authority.* A part is present only if the catalogue (``catalog.sqlite3``) says so. The data
files are sparse and say nothing by themselves, nor do the rows of ``small.sqlite3``, which are the
bytes of objects of up to 64 KiB (``small_objects``).

*Data before bitmap.* A part is **written** in the catalogue only after its ``pwritev`` returned,
and **synced** only after an ``fdatasync`` that began later has succeeded. A failed ``fdatasync``
discards the whole entry: the kernel has dropped the dirty pages and will report success next time.
Objects of one part are synced all at once, bytes, names and rows, by ``syncfs``; if that fails, all
of them are discarded (``committer``).

*Trust is per process.* A process serves unchecked only what it wrote or checked itself and what is
still in the page cache. Every other part, synced or not, is compared with its stored CRC-64 as it
is read; a bad part costs one part. This is what makes it safe to commit *written* without waiting
for the disk. At the first sign of a disk that lies or fails all trust ends (``trust``).

*No removal is overtaken.* From the moment a part is taken for removal until its row and bytes are
gone nobody takes it up again, whatever older news of it he has (``progress``).

*Names are never used again.* A data file is called ``<row>-<random>.<segment>``. The row that
names it is committed before the file is created, and is removed, durably, before the file is
unlinked. So a file that no row names *after the folder was listed* belongs to nobody, whoever else
is alive, and can be removed at any time.

*A row is one stock of bytes.* Its id is never used again. Every change names the row it was made
for and is refused if that is gone, inside ``BEGIN IMMEDIATE``. Nothing that another thread or
process still has in hand can put a bit over a file that it did not write.

*Nothing is mapped, nothing followed.* No file of the cache is mapped into memory, where a failing
disk could turn it into a signal (``opening``, ``sharing``); every one is reached through open
directories that are ours, and no link is followed (``directory``).

*There is always room to remove.* A mebibyte is reserved before anything is kept (``ballast``), and
on a disk that has none left files go before their rows (``removal``).

What a crash leaves behind
--------------------------

===================================  ==============================  ==============================
the process or the power stops       left on disk                    recovery
===================================  ==============================  ==============================
after the row, before the file       a row without parts             none needed
after the file (power: row lost)     a file that no row names        removed in the background
during or after ``pwritev``          bytes that no bit claims        counted in the background;
                                                                     fetched again, written over
after *written* (kill)               bit and bytes in page cache     CRC-64 at first use: good
after *written* (power)              bit, bytes perhaps zeros        CRC-64 at first use: bad parts
                                                                     are cleared and fetched again
after ``fdatasync``, before          bytes safe, bit *written*       synced again when next acquired
*synced*
during the commit of *synced*        all of the transaction or none  the row above
after the row is removed, before     a file that no row names        removed in the background
the unlink
between the commits of a small       bytes without a mark            removed in the background
object's bytes and its mark
after those (power: bytes lost)      a mark without bytes            absent at first use, or before,
                                                                     in the background
after parts were cleared, before     bytes that no bit claims        fetched again, written over
they are punched
during the unlink of segments        some segments that no row names removed in the background
while verified is not yet committed  complete, not verified          proved again from stored CRCs
after a file was emptied for want    a row without a file            its parts are absent at first
of room, before its row is removed                                   use
while the catalogue is handed over   either kind of journal          opened alone, and replayed
while a catalogue is moved aside     data moved, catalogue still     moved aside again at next open
                                     in place
owner dies                           ``owners/<uuid>``, unlocked     unlinked at the next open
===================================  ==============================  ==============================

Locks, in the order in which they may be taken together: the reclaimer's pass, the committer's
passes, ``CacheStore._opening``, the lock of a data file, a backing's, the catalogue's writer, that
of the small objects, the entry table's, an entry's. The last two are held for memory operations
only, so that ``release`` and everything documented as *memory only* never wait for a disk. None is
held during an ``fdatasync`` except that of the sync pass itself.
"""

from ossfs_resume.cache.entry import Entry
from ossfs_resume.cache.geometry import Geometry
from ossfs_resume.cache.models import CacheSettings, EntrySummary, ObjectVersion, StoreStatistics
from ossfs_resume.cache.store import CacheStore

__all__ = [
    "CacheSettings",
    "CacheStore",
    "Entry",
    "EntrySummary",
    "Geometry",
    "ObjectVersion",
    "StoreStatistics",
]
