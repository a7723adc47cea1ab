from ossfs_resume import aio as aio
from ossfs_resume import errors as errors
from ossfs_resume.bucket import Bucket as Bucket
from ossfs_resume.oss.models import Credentials as Credentials
from ossfs_resume.resumable import resumable_download as resumable_download

__version__: str
