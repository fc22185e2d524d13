# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aptguard.daemon import interface, varlink
from aptguard.daemon.varlink import Call, Framer, MessageError, Reply

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), PLAIN, max_size=4)


@settings(max_examples=50)
@given(st.lists(OBJECTS, max_size=4), st.data())
def test_messages_come_out_whole_however_the_stream_is_cut(objects, data):
    stream = b"".join(varlink.reply_bytes(plain) for plain in objects)
    framer, found = Framer(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        framer.feed(stream[:cut])
        stream = stream[cut:]
        while (taken := framer.take()) is not None:
            found.append(varlink.read_reply(taken).parameters)
    assert found == objects
    assert len(framer) == 0


@settings(max_examples=50)
@given(st.text(min_size=1), OBJECTS, st.booleans())
def test_a_call_is_read_as_it_was_written(method, parameters, more):
    encoded = varlink.call_bytes(f"io.github.aptguard.{method.replace('.', '')}", parameters, more=more)
    assert encoded.count(b"\0") == 1
    call = varlink.read_call(encoded[:-1])
    assert call == Call("io.github.aptguard", method.replace(".", ""), parameters, more)


def test_lone_surrogates_of_an_environment_survive():
    encoded = varlink.call_bytes("a.B", {"environment": {"X": "\udcff\x00"}})
    assert varlink.read_call(encoded[:-1]).parameters == {"environment": {"X": "\udcff\x00"}}


@given(st.binary(max_size=200))
def test_bytes_that_are_no_call_are_refused_by_name(data):
    try:
        call = varlink.read_call(data)
    except MessageError as error:
        assert error.name == "InvalidMessage"
        assert str(error).startswith("This is no varlink message: ")
    else:
        assert isinstance(json.loads(data), dict)
        assert isinstance(call.parameters, dict)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[]", "no JSON object"),
        (b"{}", "no method"),
        (b'{"method":7}', "no method"),
        (b'{"method":"a.B","parameters":[]}', "no object"),
        (b'{"method":"a.B","more":1}', "neither true nor false"),
        (b'{"method":"a.B","upgrade":true}', "upgrade"),
        (b'{"method":"a.B","parameters":{"x":NaN}}', "NaN"),
        (b'{"method":"a.B","parameters":{"x":' + b"1" * 5000 + b"}}", "not JSON"),
        (b"[" * 200_000, "too deeply"),
        ('{"method":"a.B"}'.encode("utf-16"), "not"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_each_kind_of_garbage_has_its_reason(data, reason):
    with pytest.raises(MessageError, match=reason):
        varlink.read_call(data)


def test_a_message_of_just_the_limit_passes_and_one_byte_more_does_not():
    framer = Framer(limit=10)
    framer.feed(b"x" * 10 + b"\0")
    assert framer.take() == b"x" * 10
    framer.feed(b"x" * 10)
    assert framer.take() is None
    framer.feed(b"x")
    with pytest.raises(MessageError) as caught:
        framer.take()
    assert caught.value.name == "MessageTooLarge"


def test_a_message_that_is_too_long_is_refused_even_if_it_is_there_whole():
    framer = Framer(limit=10)
    framer.feed(b"x" * 11 + b"\0")
    with pytest.raises(MessageError):
        framer.take()


def test_an_error_reply_and_a_continued_one_are_told_apart_from_the_last_good_one():
    assert varlink.read_reply(varlink.error_bytes("a.B", {"x": 1})[:-1]) == Reply({"x": 1}, error="a.B")
    assert varlink.read_reply(varlink.reply_bytes({}, continues=True)[:-1]) == Reply({}, continues=True)
    assert varlink.read_reply(b"{}") == Reply({})
    with pytest.raises(MessageError):
        varlink.read_reply(b'{"error":1}')


def test_the_interface_file_declares_every_method_that_the_guard_answers():
    hooks = {"JudgeApt", "JudgeDpkg", "Announce", "Finish"}
    reading = {"Check", "Status", "Selftest", "Log", "Show", "ListOverrides"}
    deciding = {"GrantOverride", "RevokeOverride", "Pause", "Resume"}
    assert interface.methods() == hooks | reading | deciding
    assert interface.description().count("interface io.github.aptguard\n") == 1


def test_the_service_interface_describes_both_interfaces():
    def ask(name):
        return interface.answer_service(Call(varlink.SERVICE, "GetInterfaceDescription", {"interface": name}))

    assert "interface org.varlink.service\n" in ask(varlink.SERVICE)["description"]
    assert ask(interface.INTERFACE)["description"] == interface.description()
    for wrong in ("org.example", None, 7):
        with pytest.raises(interface.CallRefusedError):
            ask(wrong)
