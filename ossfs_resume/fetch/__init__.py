"""What to download next, and doing it: where the bucket and the cache meet."""
