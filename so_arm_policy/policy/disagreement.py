"""How much a policy has changed its mind: its newest chunk beside the one it followed a moment before.

A failing policy often contradicts itself from chunk to chunk (Agia et al., "Unpacking failure modes of generative
policies: runtime monitoring of consistency and progress", CoRL 2024, there over samples; here there is one). Chunks of
consecutive inferences are nearly equal while they follow one context, so the older one is LAG_NS older: about one
context more at 10 contexts a second, whatever the rate of inferences.
"""

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import Chunk

LAG_NS = NS // 10
LEAST_ROWS = 2


def disagreement_rad(positions: FloatArray, start_ns: int, prefix: int, before: Chunk) -> float:
    """Return the root mean square of the differences, rad, where both say something; 0 where too little of that is.

    positions: (horizon, n) rad of the newest chunk, whose first `prefix` rows are committed and so say nothing;
    start_ns: when its row 0 is due; its rows are `before.dt_ns` apart. Between its rows `before` is taken as straight.
    """
    at = (start_ns - before.start_ns) / before.dt_ns + np.arange(prefix, len(positions))
    both = (at >= 0.0) & (at <= len(before.positions) - 1)
    if int(both.sum()) < LEAST_ROWS:
        return 0.0
    row = np.minimum(at[both].astype(np.int64), len(before.positions) - 2)
    share = (at[both] - row)[:, None]
    then = before.positions[row] * (1.0 - share) + before.positions[row + 1] * share
    return float(np.sqrt(np.mean((positions[prefix:][both] - then) ** 2)))
