"""Values as bytes and back, their authentication, and the compressed frames of the archive."""

from fastmem.codecs.arrays import shown_arrays
from fastmem.codecs.authentication import Authenticator
from fastmem.codecs.frames import FrameCompressor, dictionary_identity, train_dictionary
from fastmem.codecs.values import CodecId, ValueCodec

__all__ = [
    "Authenticator",
    "CodecId",
    "FrameCompressor",
    "ValueCodec",
    "dictionary_identity",
    "shown_arrays",
    "train_dictionary",
]
