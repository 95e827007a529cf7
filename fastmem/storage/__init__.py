"""L2 and L3: mapped segments and the archive. FORMAT.md beside this file describes the bytes."""

from fastmem.storage.archive import Archive
from fastmem.storage.catalogue import Catalogue, CatalogueEntry
from fastmem.storage.store import SegmentStore

__all__ = ["Archive", "Catalogue", "CatalogueEntry", "SegmentStore"]
