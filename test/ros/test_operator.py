import threading
import uuid

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import SetBool, Trigger

from so_arm_policy import cli
from so_arm_policy.ros import topics


@pytest.fixture
def stack_side():
    """A node on the other side, in a namespace of its own and a context of its own: it answers and listens."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("other_side", namespace=f"n{uuid.uuid4().hex[:8]}", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield node
    executor.shutdown()
    thread.join(timeout=10)
    node.destroy_node()
    context.try_shutdown()


def answer(success, message, calls):
    def callback(request, response):
        calls.append(request)
        response.success, response.message = success, message
        return response

    return callback


@pytest.mark.parametrize(("success", "code"), [(True, 0), (False, 1)])
def test_exit_code_tells_what_the_supervisor_answered(stack_side, capsys, success, code):
    calls = []
    stack_side.create_service(Trigger, topics.ESTOP.name, answer(success, "because", calls))
    namespace = stack_side.get_namespace()
    assert cli.main(["safety", "estop", "--namespace", namespace, "--timeout", "30"]) == code
    assert capsys.readouterr().out == "because\n"
    assert len(calls) == 1


@pytest.mark.parametrize(("action", "engaged"), [("engage", True), ("release", False)])
def test_the_clutch_is_asked_for_what_was_said(stack_side, capsys, action, engaged):
    calls = []
    stack_side.create_service(SetBool, topics.CLUTCH.name, answer(engaged, "the leader is silent", calls))
    namespace = stack_side.get_namespace()
    assert cli.main(["teleop", action, "--namespace", namespace, "--timeout", "30"]) == (0 if engaged else 1)
    assert capsys.readouterr().out == "the leader is silent\n"
    assert [call.data for call in calls] == [engaged]


def test_instruction_reaches_who_listens(stack_side):
    heard, arrived = [], threading.Event()
    topic = topics.INSTRUCTION
    stack_side.create_subscription(
        topic.type, topic.name, lambda msg: (heard.append(msg.data), arrived.set()), topic.qos
    )
    namespace = stack_side.get_namespace()
    assert cli.main(["tell", "touch the red cube", "--namespace", namespace, "--timeout", "30"]) == 0
    assert arrived.wait(30)
    assert heard == ["touch the red cube"]


def test_an_instruction_reaches_who_listens_only_after_another_heard_it(stack_side, capsys):
    topic = topics.INSTRUCTION
    heard, arrived = [], threading.Event()

    def begin(msg):
        stack_side.create_subscription(
            topic.type, topic.name, lambda late: (heard.append(late.data), arrived.set()), topic.qos
        )

    stack_side.create_subscription(topic.type, topic.name, begin, topic.qos)
    assert cli.main(["tell", "go", "--namespace", stack_side.get_namespace(), "--timeout", "30"]) == 0
    assert arrived.wait(30)
    assert heard == ["go"]
    assert capsys.readouterr().out == "heard by 2 nodes\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tell", "  "], "expected words"),
        (["tell", "go", "--timeout", "0.2"], "nobody listens"),
        (["safety", "estop", "--timeout", "0.2"], "no such service"),
        (["teleop", "engage", "--timeout", "0.2"], "no such service"),
        (["safety", "select"], "expected one for select only"),
        (["safety", "estop", "pid"], "expected one for select only"),
    ],
)
def test_what_cannot_be_said_is_one_error(capsys, arguments, message):
    namespace = ["--namespace", f"n{uuid.uuid4().hex[:8]}"]
    assert cli.main([*arguments, *namespace]) == 2
    assert message in capsys.readouterr().err
