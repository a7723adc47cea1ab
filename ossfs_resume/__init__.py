"""Mount an Alibaba Cloud OSS bucket; downloads survive kill -9, network loss and power cuts.

For programs: `resumable_download`, `aio.download` for trio, `Bucket`, `Credentials`, and `errors`,
whose tree all that is raised on purpose belongs to. What is imported is only what is used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Bucket": "bucket",
    "Credentials": "oss.models",
    "resumable_download": "resumable",
}
_MODULES = ("aio", "errors")
__all__ = ["Bucket", "Credentials", "aio", "errors", "resumable_download"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
