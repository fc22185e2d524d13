# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions that scripts ask through debconf in a rehearsal, and other answers to them.

Every way to debconf of the Debian archive (the shell and Perl libraries, debconf-communicate) ends in the
subroutines of Debconf::ConfModule, one for each command of the protocol (debconf-devel(7)). A stand-in for
that file loads the original and wraps four of them: INPUT and GO tell whether a person would be asked, SET
whether the script chose the answer itself, and GET is told, with the answer that another rehearsal wants
tried. cdebconf, which does not run below dpkg in Debian, is not seen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from aptguard.rehearsal.model import Question
from aptguard.rehearsal.own_trees import PRIVATE
from aptguard.rehearsal.recorders import ORIGINALS, Placed, replace_file

_MODULE = b"/usr/share/perl5/Debconf/ConfModule.pm"
_ASKED = PRIVATE + b"/questions"
_ANSWERS = PRIVATE + b"/answers"
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")
_MOST_BYTES = 1 << 20
_MOST_QUESTIONS = 200
# Where an answer decides what becomes of data: these scripts take a package away (Debian policy 6.5).
_TAKING_AWAY = frozenset({"prerm", "postrm"})

_STAND_IN = (
    rb"""package Debconf::ConfModule;
require '@ORIGINALS@/ConfModule.pm';
no warnings;
my (%pending, %asked, %chosen, %answer);
if (open(my $answers, '<', '@ANSWERS@')) {
	while (my $line = <$answers>) {
		chomp $line;
		my ($name, $value) = split /\t/, $line, 2;
		$answer{$name} = $value;
	}
}
my $told = sub {
	my @fields = map { my $field = defined $_ ? $_ : ''; utf8::encode($field) if utf8::is_utf8($field);
		$field =~ s/([^A-Za-z0-9_.\/:+-])/sprintf '%%%02X', ord $1/ge; $field } @_;
	if (open(my $record, '>>', '@ASKED@')) {
		syswrite $record, join("\t", @fields)."\n";
		close $record;
	}
};
my ($input, $go, $set, $reset, $get) =
	(\&command_input, \&command_go, \&command_set, \&command_reset, \&command_get);
*command_input = sub {
	my ($this, $priority, $name) = @_;
	eval {
		local $@;
		my $question = Debconf::Question->get($name);
		$pending{$name} = ($question && priority_valid($priority) && high_enough($priority)
			&& (Debconf::Config->reshow || $question->flag('seen') ne 'true')
			&& lc(Debconf::Config->frontend) ne 'noninteractive') ? 1 : 0;
	};
	goto &$input;
};
*command_go = sub {
	my @result = $go->(@_);
	for my $name (keys %pending) {
		$asked{$name} ||= $pending{$name};
		delete $chosen{$name};
	}
	%pending = ();
	return @result;
};
*command_set = sub { $chosen{$_[1]} = 1; goto &$set; };
*command_reset = sub { $chosen{$_[1]} = 1; goto &$reset; };
*command_get = sub {
	my @result = $get->(@_);
	my $name = $_[1];
	eval {
		local $@;
		my $question = Debconf::Question->get($name);
		if ($question && $question->type eq 'boolean' && !$chosen{$name} && $result[0] < 10) {
			$told->($name, $result[1], $asked{$name} ? 1 : 0, $ENV{DPKG_MAINTSCRIPT_PACKAGE},
				$ENV{DPKG_MAINTSCRIPT_NAME}, $question->description);
			$result[1] = $answer{$name} if exists $answer{$name};
		}
	};
	return @result;
};
1
""".replace(b"@ORIGINALS@", ORIGINALS)
    .replace(b"@ANSWERS@", _ANSWERS)
    .replace(b"@ASKED@", _ASKED)
)


def place_question_recorder(answers: Mapping[bytes, bytes]) -> tuple[tuple[Placed, ...], tuple[str, ...]]:
    """Put the stand-in into the present root, and ``answers`` (question to value) for it to give.

    Returns what was placed, and a sentence where debconf is there and could not be replaced.
    """
    placed: list[Placed] = []
    notes: list[str] = []
    for path, text in (
        (_ASKED, b""),
        (_ANSWERS, b"".join(b"%s\t%s\n" % answer for answer in answers.items())),
    ):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, text)
        finally:
            os.close(fd)
    replace_file(_MODULE, _STAND_IN, placed, notes)
    return tuple(placed), tuple(notes)


def questions_path() -> bytes:
    """Return the path, inside, of the file that holds the recorded questions."""
    return _ASKED


def read_questions(data: bytes) -> tuple[Question, ...]:
    """Return the boolean questions whose answers scripts wanted when they took a package away.

    Each once, in order, with the answer it had first; a person would be asked where it was so even once.
    Lines that are none of the stand-in's are left out.
    """
    found: dict[str, Question] = {}
    for line in data[:_MOST_BYTES].split(b"\n"):
        fields = [_plain(field) for field in line.split(b"\t")]
        if len(fields) != 6 or fields[2] not in {"0", "1"}:
            continue
        name, value, asked, package, script, text = fields
        if script not in _TAKING_AWAY or not re.fullmatch(r"[^\s]{1,300}", name):
            continue
        earlier = found.get(name)
        if earlier is None and len(found) < _MOST_QUESTIONS:
            found[name] = Question(name, value == "true", asked == "1", package or None, script, text[:300])
        elif earlier is not None and asked == "1" and not earlier.asked:
            found[name] = Question(name, earlier.answer, True, earlier.package, earlier.script, earlier.text)
    return tuple(found.values())


def _plain(field: bytes) -> str:
    """Undo the stand-in's escapes; urllib's function for it takes longer to load than all else here."""
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), field).decode("utf-8", "replace")
