"""Download the large object as the official SDKs do, each at the settings that are best for it.

Usage: sdk.py oss2|alibabacloud-oss-v2 URL TARGET
"""

import sys
import warnings
from pathlib import Path

from origin import BUCKET

from peers import KEY_ID, REGION, SECRET

PART_BYTES = 8 << 20
THREADS = 4


def with_oss2(url: str, target: str) -> None:
    """`oss2.resumable_download`, its notes beside the target."""
    warnings.simplefilter("ignore")
    import oss2

    bucket = oss2.Bucket(oss2.Auth(KEY_ID, SECRET), url, BUCKET, is_path_style=True)
    store = oss2.ResumableDownloadStore(root=str(Path(target).parent))
    oss2.resumable_download(
        bucket, "large", target, store=store, multiget_threshold=1, part_size=PART_BYTES,
        num_threads=THREADS,
    )  # fmt: skip


def with_v2(url: str, target: str) -> None:
    """The downloader of alibabacloud-oss-v2."""
    import alibabacloud_oss_v2 as oss

    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(KEY_ID, SECRET)
    config.region, config.endpoint, config.use_path_style = REGION, url, True
    downloader = oss.Client(config).downloader(part_size=PART_BYTES, parallel_num=THREADS)
    request = oss.GetObjectRequest(bucket=BUCKET, key="large")
    downloader.download_file(request=request, filepath=target)


if __name__ == "__main__":
    _, sdk, url, target = sys.argv
    (with_oss2 if sdk == "oss2" else with_v2)(url, target)
