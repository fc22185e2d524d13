# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aptguard import serialization
from aptguard.changes.model import Cause, Change, FileType, Kind, Node
from aptguard.rehearsal.model import RehearsalRequest, RehearsalResult, Step, StepResult, Unknown
from aptguard.serialization import dumps, loads, prepare

nodes = st.builds(
    Node,
    type=st.sampled_from(FileType),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32),
    gid=st.integers(0, 2**32),
    size=st.integers(0, 2**60),
    mtime_ns=st.integers(-(2**62), 2**62),
    target=st.none() | st.binary(max_size=30),
)
changes = st.builds(
    Change,
    path=st.binary(max_size=60),
    kinds=st.frozensets(st.sampled_from(Kind), min_size=1),
    before=st.none() | nodes,
    after=st.none() | nodes,
    cause=st.none()
    | st.builds(
        Cause,
        package=st.none() | st.text(max_size=10),
        script=st.none() | st.text(max_size=10),
        command=st.lists(st.binary(max_size=20), max_size=3).map(tuple),
    ),
)


@given(st.lists(changes, max_size=5))
def test_a_recorded_change_set_reads_back_as_it_was(recorded: list[Change]) -> None:
    result = RehearsalResult(
        steps=(), changes=tuple(recorded), complete=True, collected={b"/etc/x\xff": None}
    )
    assert loads(RehearsalResult, dumps(result)) == result


def test_a_request_reads_back_with_its_limits_and_bytes() -> None:
    request = RehearsalRequest(
        steps=(Step(argv=(b"/usr/bin/dpkg", b"\xff")),), environment={b"A": b"\xfe=\n"}, cwd=b"/\xff"
    )
    assert loads(RehearsalRequest, dumps(request)) == request


def test_once_a_kind_is_prepared_nothing_has_to_be_found_out_for_its_values() -> None:
    serialization._hints.cache_clear()
    prepare(RehearsalResult)
    found_out = serialization._hints.cache_info().misses
    cause = Cause("toy", "postrm purge", (b"rm",))
    change = Change(b"/f", frozenset({Kind.DELETED}), Node(FileType.REGULAR, 0, 0, 0, 0, 0), None, cause)
    step = StepResult((b"/usr/bin/dpkg",), 0, 1.0)
    result = RehearsalResult((step,), (change,), True, unknowns=(Unknown("what", "why"),))
    assert loads(RehearsalResult, dumps(result)) == result
    assert serialization._hints.cache_info().misses == found_out


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"argv": ["x"], "status": "0", "seconds": 1}', "status"),
        ('{"argv": "x", "status": 0, "seconds": 1}', "argv"),
        ('{"argv": [], "status": 0}', "seconds"),
        ('{"argv": [], "status": 0, "seconds": 1, "more": 2}', "more"),
        ("[]", "StepResult"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_the_name_of_its_place(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        loads(StepResult, text)


def test_a_missing_key_with_a_default_is_filled_in() -> None:
    assert loads(Unknown, '{"what": "a", "reason": "b"}') == Unknown("a", "b", None)
