# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for all tests: what they may need, and that a skip is a failure where everything must work."""

from __future__ import annotations

import os
import re
import sys
import zlib
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("aptguard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("aptguard")

HERE = os.path.dirname(os.path.abspath(__file__))
for _directory in (HERE, os.path.join(os.path.dirname(HERE), "src")):
    if _directory not in sys.path:
        sys.path.insert(0, _directory)
# A Python that a test starts finds the same sources.
os.environ["PYTHONPATH"] = os.path.join(os.path.dirname(HERE), "src")

from testbed import features  # noqa: E402

NEEDS = {"needs_root": features.missing_root, "needs_guest": features.missing_guest}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_root: makes namespaces and overlays, as root")
    config.addinivalue_line("markers", "needs_guest: boots a throw-away Debian")
    config.addinivalue_line(
        "markers",
        "on_either_debian(together=False): says the same of both; runs on one, on both with APTGUARD_WHOLE=1;"
        " together: as do all tests of its file, which share what takes the time",
    )
    # Where xdist is not installed, nothing else knows it.
    config.addinivalue_line("markers", "xdist_group: the machine that a test shares with others")


def skip_for_missing(need: str) -> None:
    """Skip the running test, naming the feature, if this machine has not got what it needs."""
    reason = NEEDS[need]()
    if reason:
        pytest.skip(reason)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in this hook, too
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # What takes longest begins first, or one worker is alone with it at the end.
    longest = ("test_front_ends.py", "test_nobody_is_locked_out.py", "test_sample.py", "test_incidents.py")
    items.sort(key=lambda item: item.path.name not in longest)
    if not os.environ.get("APTGUARD_WHOLE"):
        left_out = [item for item in items if _is_for_the_whole_run(item)]
        items[:] = [item for item in items if not _is_for_the_whole_run(item)]
        if left_out:
            # So that pytest says how many there are, for make test-lifecycle.
            config.hook.pytest_deselected(items=left_out)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_machine_of(item)))


def _machine_of(item: pytest.Item) -> str:
    """Return the same word for tests that share a machine: one worker runs them (--dist loadgroup)."""
    version = _DEBIAN.search(item.name)
    words = [item.path.stem, version[1] if version else ""]
    # An incident has a machine of its own.
    played = getattr(item, "callspec", None) and item.callspec.params.get("played")
    words.append(f"{zlib.crc32(str(played).encode()):x}" if played else "")
    return "-".join(filter(None, words))


_DEBIAN = re.compile(r"-?debian(12|13)-?")


def _is_for_the_whole_run(item: pytest.Item) -> bool:
    """Whether the run of the same case on the other Debian says enough, within the time of `make test`."""
    version = _DEBIAN.search(item.name)
    mark = item.get_closest_marker("on_either_debian")
    if version is None or mark is None:
        return False
    # By its name: another case more or less moves none to the other Debian.
    name = item.path.stem if mark.kwargs.get("together") else _DEBIAN.sub("", item.name)
    other = zlib.crc32(name.encode()) % 2
    return int(version[1]) != 12 + other


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for need in NEEDS:
        if item.get_closest_marker(need) or need in getattr(item, "fixturenames", ()):
            skip_for_missing(need)


@pytest.fixture(scope="session")
def needs_root() -> None:
    """For a test or fixture that makes namespaces and overlays, as root."""
    skip_for_missing("needs_root")


@pytest.fixture(scope="session")
def needs_guest() -> None:
    """For a test or fixture that boots a throw-away Debian."""
    skip_for_missing("needs_guest")


def _failed_if_skipped(report: Any) -> None:
    """Turn a skip into a failure that keeps the reason; an expected failure is no skip."""
    if report.skipped and features.must_work() and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{features.MUST_WORK}=1, but this was skipped. {reason}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    outcome = yield
    _failed_if_skipped(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, None]:
    outcome = yield
    _failed_if_skipped(outcome.get_result())
