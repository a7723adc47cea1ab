"""What a bucket looks like as a tree: names, inodes, listings, open files; no FUSE words."""
