"""``python -m ossfs_resume`` is the command line."""

from ossfs_resume.cli import main

main()
