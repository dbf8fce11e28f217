"""Where proposals wait for their tick: one for each tick, in the order they came.

Source and supervisor tick at the same rate but not at the same moment. When both moments are close, jitter lets some
ticks find no new proposal and others two. Looking at the newest only would then turn a smooth motion into a stumbling
one, which the limits would have to smooth. Here a tick that finds two leaves one for the next: after the first miss
there is always one waiting, the motion is as even as it was sent, and at most DEPTH ticks late.
"""

from collections import deque
from collections.abc import Iterable

from so_arm_policy.core.values import Proposal

DEPTH = 2


class Inbox:
    """The waiting proposals of each source. One thread puts, one thread takes; nothing blocks."""

    def __init__(self, sources: Iterable[str]) -> None:
        """sources: the only ones that are kept."""
        self._waiting: dict[str, deque[Proposal]] = {source: deque(maxlen=DEPTH) for source in sources}
        self._shown: dict[str, Proposal] = {}

    def put(self, source: str, proposal: Proposal) -> None:
        """Add what arrived on the topic of `source`; the oldest makes room when too many wait."""
        if source in self._waiting:
            self._waiting[source].append(proposal)

    def take(self, following: bool) -> dict[str, Proposal]:
        """Return what each source says in this tick.

        following: the supervisor acts on proposals. While it holds there is no motion to keep even: the newest counts.
        """
        for source, waiting in self._waiting.items():
            while waiting:
                self._shown[source] = waiting.popleft()
                if following:
                    break
        return dict(self._shown)
