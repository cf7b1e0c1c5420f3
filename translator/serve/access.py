"""Who may ask, and how often."""

import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

_REMEMBERED = 10_000  # clients


def allows(keys: Iterable[str], given: str) -> bool:
    """Whether this is one of the keys, or there are none: then everybody may ask.

    How long that takes does not tell how near it is.
    """
    found = [hmac.compare_digest(given.encode("utf-8", "replace"), key.encode()) for key in keys]
    return any(found) or not found


class RateLimiter:
    """At most so many requests a minute from each client: a bucket that fills up steadily."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic):
        self._most = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # (left, when)

    def wait(self, client: str) -> int:
        """Counts a request. Returns the seconds after which it may be made; 0 = now."""
        if not self._most:
            return 0
        now = self._clock()
        left, when = self._buckets.pop(client, (float(self._most), now))
        left = min(left + (now - when) * self._most / 60, self._most)
        allowed = left > 1 - 1e-6  # waiting as long as was said is enough
        self._buckets[client] = (max(left - allowed, 0.0), now)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)  # who has asked longest ago
        return 0 if allowed else math.ceil((1 - left) * 60 / self._most)
