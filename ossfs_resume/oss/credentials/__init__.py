"""Where access keys come from, and how they are kept fresh.

``recipes`` says what a source amounts to (a key, a role to assume, a server or program to ask);
``environment``, ``ossutil``, ``aliyun_cli`` and ``shared_file`` read sources into recipes,
``sts`` knows the formats of answers: all of these are values in, values out. ``files`` opens
what sources stand in, ``fetching`` does what a recipe says, ``rotating`` does it again in time,
``chain`` chooses the source.

Why not the package ``alibabacloud-credentials`` (1.0.12) in a thread: it brings about twenty
packages (requests and aiohttp, a scheduler) for six small requests, starts a thread and adds a log
handler at import, reads the environment at import time, knows neither ``OSS_*`` nor
``~/.ossutilconfig``, ignores our proxy, CA bundle and deadlines, and its asynchronous half cannot
run on trio. What a process that holds keys pulls in should be little and readable.

Secrets leave this package only inside ``Credentials``, which masks them in ``repr``. No message
repeats what a file, a server or a program said beyond error codes; nothing is logged but names.
"""

from ossfs_resume.oss.credentials.provider import CredentialsProvider, StaticCredentials

__all__ = ["CredentialsProvider", "StaticCredentials"]
