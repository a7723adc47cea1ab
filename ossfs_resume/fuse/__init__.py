"""pyfuse3, here and nowhere else: a tree and its extended attributes shown as a file system.

The life of a mount, with the module that tells each step:

1. `preflight`     what would prevent it is found before anything is mounted, each as one line with
                   its remedy; a dead mount of ours is cleared (`dead_mounts`, `health`).
2. `session`       mounts, serves, unmounts: the order of all that. `options` are libfuse's.
3. `owners`        who serves the mount is written down; `watcher` is a small process that ends the
                   kernel's connection if that one is killed.
4. `kernel`        limits that are wrong for a slow origin are raised.
5. `operations`    the kernel's requests; each goes by a `guard`, which lets through nothing but
                   an errno (`errno_map`) and sets a deadline; `attributes` and `listing` say what
                   the kernel is told.
6. `invalidation`  what the kernel keeps and is not true any more is dropped; nobody ever waits for
                   that.
7. `connection`    hears that the kernel has ended the session; `process` gives back what a session
                   does to its process. `mounts` reads the mount table and takes mounts down.
"""
