"""A ROS domain of one's own, so that two stacks on one machine do not hear each other."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.ros.environment import PROFILES, RANGE, dds_environment

# People and test runners choose from 0..101; the ports of these few are free on Linux as well.
DOMAINS = range(215, 233)
PORT_BASE = 22_100  # bound by whoever has reserved a domain


@contextmanager
def own_domain() -> Iterator[int]:
    """Reserve a domain for as long as the block runs, with discovery on this machine only. Raises DeviceError.

    Sets ROS_DOMAIN_ID and the variables of DDS for this process and those it starts, and puts them back.
    """
    before = {name: os.environ.get(name) for name in ("ROS_DOMAIN_ID", RANGE, *PROFILES)}
    here = dds_environment({name: value for name, value in os.environ.items() if name not in before})
    domain, lock = _reserve()
    try:
        os.environ.update(here, ROS_DOMAIN_ID=str(domain))
        yield domain
    finally:
        lock.close()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _reserve() -> tuple[int, socket.socket]:
    first = os.getpid() % len(DOMAINS)
    for domain in [*DOMAINS[first:], *DOMAINS[:first]]:
        lock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            lock.bind(("localhost", PORT_BASE + domain))
        except OSError:
            lock.close()
            continue
        return domain, lock
    raise DeviceError(f"ROS domain: got all of {DOMAINS[0]}..{DOMAINS[-1]} in use, expected one to be free")
