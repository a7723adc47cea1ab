"""What a bucket looks like as a tree: names, inodes, listings, open files; no FUSE words.

The life of a name, with the module that tells each step:

1. `tree`        somebody asks what ``name`` in a directory is, or lists the directory.
2. `directory`   is it known, by a listing or a single lookup that has not expired? Then nobody is
                 asked. Otherwise one of the two is sent for, whichever costs less.
3. `listings`    of one directory: the newest whole listing, one that is being read, what an earlier
                 mount kept. Who comes while a listing is read waits for his page only.
4. `listing`     pages of keys become names (`names`: which entries keys make), kept in columns
                 (`page`), with an inode number each (`inodes`, `nodes`).
5. `lookup`      one name asked of the bucket: HEAD and a listing of one key; and what a symlink
                 object is shown as.
6. `metadata_requests` whatever is asked of the bucket: once for all who want the same, again while
                 it does not answer, and what was known before if it stays silent.
7. `attributes`  what the kernel is told of a node, joined with what the cache holds (`presence`).
8. `metadata_store` what the bucket said, written beside the cache for the next mount.
9. `handles`, `readers` open files and open directories; `walks` sees who reads file after file and
                 says what will be opened next.
"""
