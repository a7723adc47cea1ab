"""Objects to files, with the engine of a mount: for `ossfs-resume get` and Python programs."""
