"""What a person says to a running stack: one message or one service call, and whether it was heard."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from std_msgs.msg import String

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.ros import topics

POLL_S = 0.05
NEWCOMERS_S = 4.0  # Fast DDS announces each process every 3 s; who missed the first announcements comes so late


@contextmanager
def operator(namespace: str) -> Iterator[Node]:
    """Give a node in `namespace` for the length of the block."""
    rclpy.init(args=[])
    node = Node("operator", namespace=namespace)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def tell(node: Node, instruction: str, timeout_s: float) -> int:
    """Publish `instruction`; return how many nodes heard it. Raises DeviceError when none listens within `timeout_s`.

    It returns when nobody has come for NEWCOMERS_S: who listened first may be a recorder, and not the policy.
    """
    topic = topics.INSTRUCTION
    publisher = node.create_publisher(topic.type, topic.name, topic.qos)
    until = time.monotonic() + timeout_s
    while publisher.get_subscription_count() == 0:
        if time.monotonic() >= until:
            raise DeviceError(f"{publisher.topic_name}: nobody listens after {timeout_s:.0f} s; is the stack running?")
        time.sleep(POLL_S)
    publisher.publish(String(data=instruction))  # latched: who comes later gets it, too
    listeners, since = 0, time.monotonic()
    while time.monotonic() - since < NEWCOMERS_S:
        if (count := int(publisher.get_subscription_count())) > listeners:
            listeners, since = count, time.monotonic()
        time.sleep(POLL_S)
    publisher.wait_for_all_acked(Duration(seconds=timeout_s))
    return listeners


def call(node: Node, service: topics.Service, request: Any, timeout_s: float) -> tuple[bool, str]:
    """Call `service`; return whether it was done, and what it answered. Raises DeviceError without an answer."""
    client = node.create_client(service.type, service.name)
    if not client.wait_for_service(timeout_sec=timeout_s):
        raise DeviceError(f"{client.srv_name}: no such service after {timeout_s:.0f} s; is the stack running?")
    future = client.call_async(request)
    rclpy.spin_until_future_complete(node, future, timeout_sec=timeout_s)
    answer = future.result()
    if answer is None:
        raise DeviceError(f"{client.srv_name}: no answer within {timeout_s:.0f} s")
    return bool(answer.success), str(answer.message)
