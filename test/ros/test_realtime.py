"""Punctuality is asked for; a kernel that says no is not fatal."""

import gc
import os
import sys
import threading

import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.ros.realtime import (
    BACKGROUND_NICE,
    SWITCH_INTERVAL_S,
    RealtimeConfig,
    prepare_process,
    prepare_tick_thread,
    stay_in_background,
)


@pytest.fixture(autouse=True)
def _as_before():
    interval = sys.getswitchinterval()
    yield
    gc.unfreeze()
    sys.setswitchinterval(interval)


def in_a_thread(config):
    warnings = []
    thread = threading.Thread(target=prepare_tick_thread, args=(config, warnings.append))
    thread.start()
    thread.join()
    return warnings


def test_by_default_nothing_is_asked_of_the_kernel_and_the_collector_leaves_old_objects_alone():
    warnings = []
    prepare_process(RealtimeConfig(), warnings.append)
    assert gc.get_freeze_count() > 0
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    assert warnings == []
    assert in_a_thread(RealtimeConfig()) == []


def test_background_threads_give_way_and_only_they():
    before, inside = os.getpriority(os.PRIO_PROCESS, 0), []

    def work():
        stay_in_background()
        inside.append(os.getpriority(os.PRIO_PROCESS, 0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [min(before + BACKGROUND_NICE, 19)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_a_refusal_is_a_warning_that_says_what_to_do():
    (warning,) = in_a_thread(RealtimeConfig(cpus="1023"))
    assert warning.startswith("not permitted to stay on CPU 1023 (")
    assert "To allow it" in warning


def test_affinity_is_the_tick_thread_s_alone():
    before, cpu = os.sched_getaffinity(0), min(os.sched_getaffinity(0))
    assert in_a_thread(RealtimeConfig(cpus=str(cpu))) == []
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("cpus", ["a", "1,", "-1", "1;2"])
def test_text_that_names_no_cpus_is_refused(cpus):
    with pytest.raises(ConfigError, match="expected numbers"):
        RealtimeConfig(cpus=cpus)


@pytest.mark.parametrize("config", [RealtimeConfig(fifo_priority=10), RealtimeConfig(nice=-5)])
def test_asking_for_priority_works_or_warns(config):
    assert len(in_a_thread(config)) <= 1
