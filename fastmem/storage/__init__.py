"""L2 and L3: mapped segments and the archive. FORMAT.md beside this file describes the bytes."""

import sys

from fastmem.errors import UnsupportedPlatformError

if sys.platform != "linux":
    raise UnsupportedPlatformError(f"L2 and L3 need Linux, this is {sys.platform}; L1 works here")

from fastmem.storage.archive import Archive
from fastmem.storage.catalogue import Catalogue, CatalogueEntry
from fastmem.storage.store import SegmentStore

__all__ = ["Archive", "Catalogue", "CatalogueEntry", "SegmentStore"]
