"""Speech codec: ``Codec`` for use, ``CodecConfig`` and ``CodecModel`` for training."""

from llasa.codec.codec import Codec
from llasa.codec.config import CodecConfig
from llasa.codec.model import CodecModel

__all__ = ["Codec", "CodecConfig", "CodecModel"]
