"""Reading without copying: what records stand for, where it lies.

A view is on one of two mappings: a segment's, in which a value of up to 256 KiB lies, or that of
a larger value's own file. Either is verified when it is looked at first, and stays mapped for as
long as there are views of it (see _core/windows.pyx).
"""

from __future__ import annotations

from collections.abc import Callable

from fastmem._core.layout import COMPRESSED, MAC_BYTES, POINTER, TIER_BIT, VALUE
from fastmem._core.log import COLD, WARM, Record
from fastmem._core.viewing import Viewer
from fastmem._core.windows import Window
from fastmem.codecs import Authenticator, CodecId, shown_arrays
from fastmem.errors import CorruptRecordError
from fastmem.storage.contents import Contents
from fastmem.storage.opening import StoreFiles
from fastmem.storage.value_maps import ValueMaps

# Below, an array is copied. By time that pays only to about 1 KiB; but what is copied pins no
# segment, and at 16 KiB costs no more than a microsecond.
LEAST_BYTES = 16 << 10
# What holds buffers to build arrays on, aligned to 64 bytes.
BUFFERED_CODECS = frozenset((CodecId.ARRAY, CodecId.PICKLE))

Found = tuple[Record, bytes | Window]


class Views:
    """Reads as Contents does, but large values come as windows of the mapping that they lie in."""

    def __init__(
        self, files: StoreFiles, contents: Contents, authenticator: Authenticator | None
    ) -> None:
        self._contents = contents
        self._keyed = authenticator is not None
        self._pins = files.pins
        self._maps = [
            None if values is None else ValueMaps(values, tier, files.pins)
            for tier, values in ((WARM, files.warm_values), (COLD, files.cold_values))
        ]
        warm, cold = ({} if maps is None else maps.mapped for maps in self._maps)
        viewer = Viewer(
            files.log,
            LEAST_BYTES,
            CodecId.RAW_BYTES,
            CodecId.ARRAY,
            shown_arrays,
            (warm, cold),
            self._keyed,
        )
        self._get, self._peek, self._view = viewer.get, viewer.peek, viewer.view
        self.load, self.memory = viewer.load, viewer.memory

    def read(self, key: bytes, *, mark: bool = True) -> Found | None:
        """Return a key's record and its content, or None, as `Contents.read` does. Of what holds
        arrays, from LEAST_BYTES on, the content is a window.
        """
        return self.follow(self._get(key) if mark else self._peek(key))

    def follow(self, record: Record | None) -> Found | None:
        """Return a record that was read and its content, or None, as `read` does."""
        if record is None:
            self._contents.note_damage()
            return None
        if not (self._keyed or record.kind != VALUE or record.mac_key or record.flags & COMPRESSED):
            return record, record.body if record.window is None else record.window
        return self._followed(record, self._peek, every=False)

    def view(self, key: bytes) -> Found | None:
        """As `read`, but the content of every record is a window, unless that is compressed."""
        record = self._view(key)
        if record is None:
            self._contents.note_damage()
            return None
        return self._followed(record, self._view, every=True)

    def _followed(
        self, record: Record | None, look: Callable[[bytes], Record | None], *, every: bool
    ) -> Found | None:
        last_word = 0
        while record is not None:
            try:
                return record, self._content(record, every=every)
            except FileNotFoundError as error:
                if record.word == last_word:
                    self._contents.note_lost(record.word, error)
                    return None
                last_word = record.word  # replaced between the two steps, surely: look again
                record = look(record.key)
            except CorruptRecordError as error:
                self._contents.note_lost(record.word, error)
                return None
        self._contents.note_damage()
        return None

    def _content(self, record: Record, *, every: bool) -> bytes | Window:
        if (
            record.kind == POINTER
            and (every or record.codec in BUFFERED_CODECS)
            and not record.flags & COMPRESSED
        ):
            return self._in_file(record)
        window = record.window
        if window is None:
            return self._contents.content(record)
        if record.body is not None:  # the MAC of what nobody has vouched for
            self._contents.authenticate(record, record.body, window)
            window.vouch()
        return window

    def _in_file(self, record: Record) -> Window:
        """The value that a pointer record names, verified when its file was mapped."""
        maps = self._maps[COLD if record.word & TIER_BIT else WARM]
        assert maps is not None
        mapped = maps.find(record.body)
        window = None if mapped is None else mapped.window()
        if mapped is None or window is None:
            mapped, window = maps.read(record.key, record.body)
            self._authenticate_file(record, window)
            mapped.word = record.word
            maps.keep(mapped)
        elif self._keyed and mapped.word != record.word:  # it moved; or somebody has forged one
            self._authenticate_file(record, window)
            mapped.word = record.word
        return window

    def _authenticate_file(self, record: Record, window: Window) -> None:
        mac = record.body[-MAC_BYTES:] if record.mac_key else b""
        self._contents.authenticate(record, mac, window)

    def pinned_bytes(self, tier: int) -> int:
        """Bytes of a tier's unlinked files, whoever unlinked them, that views of this process keep
        mapped. O(value files mapped).
        """
        maps = self._maps[tier]
        if maps is not None:
            maps.drop_gone()
        return self._pins.bytes_of(tier)

    def close(self) -> None:
        """Unmap value files, those with views when the last one is released. Idempotent."""
        for maps in self._maps:
            if maps is not None:
                maps.close()


__all__ = ["LEAST_BYTES", "Views"]
