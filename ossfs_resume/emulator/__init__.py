"""An OSS endpoint over a local directory, to try and to test without the cloud.

It stands on the other side of the wire: signatures, range rules, listings and errors are written
from the protocol's description alone and share no code with the client, so that a mistake made in
one is found by the other.

Objects are the plain files below the directory, named by their relative path. Keys that no path
can express (``a//b``, ``dir/``, ``..``, ``a/b`` beside a file ``a``) live under encoded names in
the side folder ``.ossfs-emulator``. Files may be changed directly on the disk at any time: by
rename at no risk, in place at the risk that a reader of that moment gets both contents, as with
any file. Empty directories are no objects; symbolic links to directories are not listed.

Beside the OSS namespace, for clients on the loopback interface and unsigned:

=========================  ======================================================
``GET, PUT /-/faults``     the `Faults` in force, as JSON; PUT replaces all of them
``GET /-/statistics``      counters as JSON
``GET /-/requests``        the last requests as JSON, oldest first
``POST /-/reset``          counters, request log and fault ordinals start at zero
=========================  ======================================================
"""
