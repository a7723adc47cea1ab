"""Mount an Alibaba Cloud OSS bucket; downloads survive kill -9, network loss and power cuts."""

__version__ = "0.1.0"
