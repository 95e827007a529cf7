"""What L1Cache should be under each policy: plain Python, slow and clear.

A model holds entries as `[value, size, expired, uses]` and answers as the cache does; `shrink_to`
and `victim` are the policy. Sizes are those the budget counts. `events` has what listeners hear.
"""

from collections import OrderedDict
from typing import Any

from fastmem._core.sizing import deep_size

ABSENT = object()
VALUE, SIZE, EXPIRED, USES = range(4)


class Model:
    overhead = 80

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.entries: dict[Any, list[Any]] = {}
        self.events: list[tuple[Any, Any, str]] = []

    def entry_size(self, key: Any, value: Any) -> int:
        return deep_size(key) + deep_size(value) + self.overhead

    def used(self) -> int:
        return sum(entry[SIZE] for entry in self.entries.values())

    def peek(self, key: Any) -> Any:
        if key in self.entries and self.entries[key][EXPIRED]:
            self.remove(key, "expired")
        return self.entries[key][VALUE] if key in self.entries else ABSENT

    def get(self, key: Any) -> Any:
        value = self.peek(key)
        if value is not ABSENT:
            self.use(key)
        return value

    def pop(self, key: Any) -> Any:
        value = self.peek(key)
        if value is not ABSENT:
            self.remove(key, "deleted")
        return value

    def popitem(self) -> Any:
        """The next victim that is not expired; None when the cache is empty."""
        while self.entries:
            key = self.victim()
            entry = self.entries[key]
            self.remove(key, "expired" if entry[EXPIRED] else "deleted")
            if not entry[EXPIRED]:
                return key, entry[VALUE]
        return None

    def expire(self) -> int:
        gone = [key for key, entry in self.entries.items() if entry[EXPIRED]]
        for key in gone:
            self.remove(key, "expired")
        return len(gone)

    def shrink_to(self, limit: int) -> None:
        while self.used() > limit:
            key = self.victim()
            expired = self.entries[key][EXPIRED]
            if not expired:
                self.evicted(key)
            self.remove(key, "expired" if expired else "size")

    def resize(self, budget: int) -> None:
        self.budget = budget
        self.shrink_to(budget)

    def live(self) -> list[tuple[Any, Any]]:
        return [(k, self.entries[k][VALUE]) for k in self.order() if not self.entries[k][EXPIRED]]

    # --- the policy

    def order(self) -> list[Any]:
        raise NotImplementedError

    def victim(self) -> Any:
        raise NotImplementedError

    def use(self, key: Any) -> None:
        raise NotImplementedError

    def put(self, key: Any, value: Any) -> None:
        raise NotImplementedError

    def evicted(self, key: Any) -> None:
        pass

    def replaced(self, key: Any) -> None:
        """Told when a put takes the place of an entry."""
        value, _, expired, _ = self.entries[key]
        self.events.append((key, value, "expired" if expired else "replaced"))

    def remove(self, key: Any, cause: str) -> None:
        self.events.append((key, self.entries.pop(key)[VALUE], cause))

    def clear(self) -> None:
        self.events += [(key, entry[VALUE], "cleared") for key, entry in self.entries.items()]
        self.entries.clear()


class Lru(Model):
    """`entries` is in order of use, least recent first."""

    def order(self) -> list[Any]:
        return list(self.entries)

    def victim(self) -> Any:
        return next(iter(self.entries))

    def use(self, key: Any) -> None:
        self.entries[key] = self.entries.pop(key)

    def put(self, key: Any, value: Any) -> None:
        if key in self.entries:
            self.replaced(key)
            del self.entries[key]
        self.entries[key] = [value, self.entry_size(key, value), False, 0]
        self.shrink_to(self.budget)


class S3Fifo(Model):
    """`small` and `main` hold keys, oldest first; `ghosts` hash -> size, oldest first."""

    overhead = 104

    def __init__(self, budget: int) -> None:
        super().__init__(budget)
        self.small: OrderedDict[Any, None] = OrderedDict()
        self.main: OrderedDict[Any, None] = OrderedDict()
        self.ghosts: OrderedDict[int, int] = OrderedDict()

    def order(self) -> list[Any]:
        return [*self.small, *self.main]

    def use(self, key: Any) -> None:
        self.entries[key][USES] = min(self.entries[key][USES] + 1, 3)

    def put(self, key: Any, value: Any) -> None:
        size = self.entry_size(key, value)
        if key in self.entries:
            self.replace(key, value, size)
            return
        remembered = self.ghosts.pop(hash(key), None) is not None
        self.shrink_to(self.budget - size)
        self.entries[key] = [value, size, False, 0]
        (self.main if remembered else self.small)[key] = None

    def replace(self, key: Any, value: Any, size: int) -> None:
        """A use. The key becomes the new one, too, which matters to 1 and True."""
        queue = self.small if key in self.small else self.main
        self.replaced(key)
        old = self.entries[key]
        fresh = [value, size, False, min(old[USES] + 1, 3)]
        if self.used() - old[SIZE] + size <= self.budget:
            keys = [key if held == key else held for held in queue]
            queue.clear()
            queue.update(dict.fromkeys(keys))
            del self.entries[key]
        else:
            del self.entries[key], queue[key]
            self.shrink_to(self.budget - size)
            queue[key] = None
        self.entries[key] = fresh

    def share(self) -> int:
        return max(self.budget // (4 if len(self.entries) < 64 else 10), 1)

    def victim(self) -> Any:
        for chance in range(129):
            small = sum(self.entries[key][SIZE] for key in self.small)
            if not self.small or (small < self.share() and self.main):
                key = next(iter(self.main))
                if self.entries[key][USES] == 0 or chance == 128:
                    return key
                self.entries[key][USES] -= 1
                self.main.move_to_end(key)
            else:
                key = next(iter(self.small))
                if self.entries[key][USES] < 2 or chance == 128:
                    return key
                self.entries[key][USES] = 0
                del self.small[key]
                self.main[key] = None
        raise AssertionError("unreachable")

    def evicted(self, key: Any) -> None:
        if key in self.small:
            self.ghosts.pop(hash(key), None)
            self.ghosts[hash(key)] = self.entries[key][SIZE]
            limit = self.budget - self.budget // 10
            while self.ghosts and (
                sum(self.ghosts.values()) > limit or len(self.ghosts) > 2 * len(self.entries)
            ):
                self.ghosts.popitem(last=False)

    def remove(self, key: Any, cause: str) -> None:
        super().remove(key, cause)
        self.small.pop(key, None)
        self.main.pop(key, None)

    def clear(self) -> None:
        super().clear()
        self.small.clear()
        self.main.clear()
        self.ghosts.clear()


MODELS = {"lru": Lru, "s3fifo": S3Fifo}
