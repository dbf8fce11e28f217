"""Proposals of all sources as they come from the graph, until a tick of the supervisor takes them."""

import functools
import time
from collections.abc import Iterable
from typing import Any

from so_arm_policy.core.values import Proposal
from so_arm_policy.msg import JointCommand
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.node import StackNode, age_ms
from so_arm_policy.safety.inbox import Inbox


class ProposalInbox:
    """Hears each source on its topic."""

    def __init__(self, node: StackNode[Any], sources: Iterable[str]) -> None:
        """Listen on `node`, the supervisor."""
        sources = tuple(sources)
        self._inbox = Inbox(sources)
        self._heard_ns: dict[str, int] = {}
        for source in sources:
            node.listen(topics.proposal(source), functools.partial(self._on_proposal, source))

    def take(self, following: bool) -> dict[str, Proposal]:
        """Return what each source says in this tick; following: as of Inbox."""
        return self._inbox.take(following)

    def facts(self) -> dict[str, object]:
        """Return how old the newest proposal of each source is."""
        heard = dict(self._heard_ns)
        now_ns = time.monotonic_ns()
        return {f"proposal_age_ms: {source}": age_ms(now_ns, at_ns) for source, at_ns in heard.items()}

    def _on_proposal(self, source: str, msg: JointCommand) -> None:
        proposal = convert.proposal(msg, time.monotonic_ns())
        self._heard_ns[source] = proposal.received_ns
        self._inbox.put(source, proposal)
