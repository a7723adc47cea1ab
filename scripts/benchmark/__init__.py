"""Reading a bucket through mounts, side by side: the proof behind every claim of speed.

One nginx serves the bytes to everybody, so that the origin is never the limit and speaks both
dialects over the same files (`origin`). Every contestant (`peers`) passes through every scenario
(`scenarios`), in turns that are repeated, each time with a fresh mount and a fresh cache directory:
nothing is deleted before a run, for ext4 does not use an inode again for minutes and would charge
that to whoever comes next. After each run the bytes are compared with the bucket's. What is printed
(`report`) are medians: time, processor time and peak memory of the mount's processes, and what the
origin sent.
"""
