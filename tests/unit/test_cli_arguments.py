# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from aptguard.cli.arguments import make_parser, options_first


def test_a_mistyped_command_is_answered_by_the_nearest_right_word(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(["chek", "purge", "foo"])
    assert ended.value.code == 2
    assert "did you mean 'check'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["status"], ["check"], ["log"], ["show"], ["override"], ["pause"], ["policy"], ["selftest"]]
)
def test_the_help_of_each_command_fits_one_screen_and_has_an_example(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        make_parser().parse_args([*words, "--help"])
    text = capsys.readouterr().out
    assert "Example: aptguard" in text
    assert len(text.splitlines()) <= 24


@pytest.mark.parametrize(
    "words",
    [
        ["check", "purge", "a", "b", "--json"],
        ["check", "purge", "--json", "a", "b"],
        ["check", "--json", "purge", "a", "b"],
        ["check", "purge", "a", "--json", "b"],
    ],
)
def test_an_option_of_check_may_stand_anywhere(words: list[str]) -> None:
    arguments = make_parser().parse_args(options_first(words))
    assert (arguments.operation, arguments.names, arguments.json) == ("purge", ["a", "b"], True)
