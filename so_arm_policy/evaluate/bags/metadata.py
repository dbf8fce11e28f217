"""metadata.yaml of a rosbag2 folder, which `ros2 bag info` and `ros2 bag play` read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

# The newest version whose qualities of service every distribution from Humble to Kilted reads: as text, with numbers.
VERSION = 8
FILE_NAME = "metadata.yaml"
HISTORY = {"KEEP_LAST": 1, "KEEP_ALL": 2}
RELIABILITY = {"RELIABLE": 1, "BEST_EFFORT": 2}
DURABILITY = {"TRANSIENT_LOCAL": 1, "VOLATILE": 2}
UNKNOWN = 3  # what the graph says of the history of another node's publisher
UNLIMITED = {"sec": 9223372036, "nsec": 854775807}


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Quality of service that a topic was offered with, in ROS's own words (KEEP_LAST, BEST_EFFORT, VOLATILE)."""

    reliability: str = "RELIABLE"
    durability: str = "VOLATILE"
    history: str = "KEEP_LAST"
    depth: int = 10


@dataclass(frozen=True, kw_only=True)
class TopicEntry:
    """What a bag says of one topic. definition_hash: of its type, after REP 2016."""

    name: str
    kind: str
    definition_hash: str
    qualities: tuple[Quality, ...] = ()
    count: int = 0


def qualities_text(qualities: Sequence[Quality]) -> str:
    """Return qualities of service as rosbag2 writes them up to version 8."""
    if not qualities:
        return ""
    rows = [
        {
            "history": HISTORY.get(q.history, UNKNOWN),
            "depth": q.depth,
            "reliability": RELIABILITY.get(q.reliability, 0),
            "durability": DURABILITY.get(q.durability, 0),
            "deadline": dict(UNLIMITED),
            "lifespan": dict(UNLIMITED),
            "liveliness": 1,
            "liveliness_lease_duration": dict(UNLIMITED),
            "avoid_ros_namespace_conventions": False,
        }
        for q in qualities
    ]
    return yaml.safe_dump(rows, sort_keys=False).rstrip()


def qualities(given: Any) -> tuple[Quality, ...]:
    """Return the qualities of service in a bag's text or list of any version; what makes no sense is left out."""
    try:
        rows = yaml.safe_load(given) if isinstance(given, str) else given
        return tuple(
            Quality(
                reliability=_name(row["reliability"], RELIABILITY, "RELIABLE"),
                durability=_name(row["durability"], DURABILITY, "VOLATILE"),
                depth=min(max(int(row["depth"]), 0), 1000),
            )
            for row in rows or []
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        return ()


def _name(given: Any, names: Mapping[str, int], default: str) -> str:
    """Return the name of a quality that is given by number (to version 8) or by name (from version 9 on)."""
    return next((name for name, number in names.items() if given in (number, name.lower())), default)


def metadata(
    file: str, topics: Sequence[TopicEntry], span_ns: tuple[int, int], custom: Mapping[str, str]
) -> dict[str, Any]:
    """Return what metadata.yaml says of a bag with one MCAP file, below its first key."""
    count = sum(t.count for t in topics)
    start = {"nanoseconds_since_epoch": span_ns[0]}
    duration = {"nanoseconds": span_ns[1] - span_ns[0]}
    return {
        "version": VERSION,
        "storage_identifier": "mcap",
        "relative_file_paths": [file],
        "duration": duration,
        "starting_time": start,
        "message_count": count,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": t.name,
                    "type": t.kind,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": qualities_text(t.qualities),
                    "type_description_hash": t.definition_hash,
                },
                "message_count": t.count,
            }
            for t in topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "files": [{"path": file, "starting_time": dict(start), "duration": dict(duration), "message_count": count}],
        "custom_data": dict(custom) or None,
        "ros_distro": "jazzy",
    }


def dumped(values: Mapping[str, Any]) -> str:
    """Return `values` as YAML."""
    return yaml.safe_dump(dict(values), sort_keys=False)
