# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions that scripts ask through debconf in a rehearsal, and other answers to them.

Every way to debconf of the Debian archive (the shell and Perl libraries, debconf-communicate) ends in the
subroutines of Debconf::ConfModule, one for each command of the protocol (debconf-devel(7)). A stand-in for
that file loads the original and wraps five of them: INPUT and GO tell whether a person would be asked, SET
and RESET whether the script chose the answer itself, and GET is told, with the answer that another rehearsal
wants tried. cdebconf, which does not run below dpkg in Debian, is not seen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from aptguard.rehearsal.devices import PRIVATE
from aptguard.rehearsal.model import Question
from aptguard.rehearsal.recorders import ORIGINALS, Placed, StandIn, replace_file

_MODULE = b"/usr/share/perl5/Debconf/ConfModule.pm"
_RECORD = PRIVATE + b"/questions"
_ASKED = PRIVATE + b"/asked"
_ANSWERS = PRIVATE + b"/answers"
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")
_MOST_BYTES = 1 << 20
_MOST_QUESTIONS = 200
# Where an answer decides what becomes of data: these scripts take a package away (Debian policy 6.5).
_TAKING_AWAY = frozenset({"prerm", "postrm"})

# A person is asked in GO, and what they said is still the answer in scripts that run later, in other
# processes: so who was asked is kept in a file. A record that cannot be written is deleted, and not made
# anew: one that is missing cannot be read, which is told. One line for each answer and process is enough.
#
# What INPUT returns follows command_input of the original with an interactive frontend. A script that takes
# a package away hears it, since it may ask for the answer only then, and the question counts as seen once
# the script has ended. Other scripts hear what debconf says with nobody there: those that insist on a
# password or a licence would ask for ever.
_STAND_IN = (
    rb"""package Debconf::ConfModule;
require '@ORIGINALS@/ConfModule.pm';
use Fcntl qw(O_WRONLY O_APPEND);
no warnings;
my $removing = $ENV{DPKG_MAINTSCRIPT_NAME} =~ /^(?:prerm|postrm)\z/;
my (%pending, %asked, %chosen, %answer, %told);
if (open(my $answers, '<', '@ANSWERS@')) {
	while (my $line = <$answers>) {
		chomp $line;
		my ($name, $value) = split /\t/, $line, 2;
		$answer{$name} = $value;
	}
}
my $line = sub {
	join("\t", map { my $field = defined $_ ? $_ : ''; utf8::encode($field) if utf8::is_utf8($field);
		$field =~ s/([^A-Za-z0-9_.\/:+-])/sprintf '%%%02X', ord $1/ge; $field } @_)."\n";
};
my $append = sub {
	my ($path, $text) = @_;
	my $file;
	unlink '@RECORD@' unless sysopen($file, $path, O_WRONLY | O_APPEND)
		&& syswrite($file, $text) == length $text;
};
my $surely = sub {
	my ($do) = @_;
	local $@;
	eval { $do->(); 1 } or unlink '@RECORD@';
};
my $was_asked = sub {
	my ($name) = @_;
	return 1 if $asked{$name};
	open(my $file, '<', '@ASKED@') or return 1;
	my $wanted = $line->($name);
	while (my $other = <$file>) {
		return 1 if $other eq $wanted;
	}
	return 0;
};
my $will_be_asked = sub {
	my ($priority, $name) = @_;
	my $question = Debconf::Question->get($name);
	return 0 if !$question || !priority_valid($priority)
		|| lc(Debconf::Config->frontend) eq 'noninteractive';
	my $type = $question->type;
	return 1 if $type eq 'error';
	return 0 if !high_enough($priority) || !Debconf::Config->reshow && $question->flag('seen') eq 'true';
	return 1 if $type !~ /^(multi)?select\z/;
	my @choices = $question->choices_split;
	return @choices > ($1 ? 0 : 1);
};
my ($input, $go, $set, $reset, $get) =
	(\&command_input, \&command_go, \&command_set, \&command_reset, \&command_get);
*command_input = sub {
	my ($this, $priority, $name) = @_;
	my $will_be = 0;
	$surely->(sub { $will_be = $will_be_asked->($priority, $name) ? 1 : 0; });
	$pending{$name} ||= $will_be;
	my @result = $input->(@_);
	if ($removing && $will_be && $result[0] == 30) {
		for my $element (@{$this->frontend->elements}) {
			$element->markseen(1) if $element->question->name eq $name;
		}
		@result = (0, 'question will be asked');
	}
	return @result;
};
*command_go = sub {
	my @result = $go->(@_);
	for my $name (keys %pending) {
		if ($pending{$name} && !$asked{$name}) {
			$asked{$name} = 1;
			$append->('@ASKED@', $line->($name));
		}
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
	$surely->(sub {
		my $question = Debconf::Question->get($name);
		return if !$question || $question->type ne 'boolean' || $chosen{$name} || $result[0] >= 10;
		if ($removing) {
			my $text = $line->($name, $result[1], $was_asked->($name) ? 1 : 0,
				$ENV{DPKG_MAINTSCRIPT_PACKAGE}, $ENV{DPKG_MAINTSCRIPT_NAME}, $question->description);
			$append->('@RECORD@', $text) unless $told{$text}++;
		}
		$result[1] = $answer{$name} if exists $answer{$name};
	});
	return @result;
};
1
""".replace(b"@ORIGINALS@", ORIGINALS)
    .replace(b"@ANSWERS@", _ANSWERS)
    .replace(b"@ASKED@", _ASKED)
    .replace(b"@RECORD@", _RECORD)
)


def place_question_recorder(answers: Mapping[bytes, bytes]) -> tuple[tuple[Placed, ...], tuple[str, ...]]:
    """Put the stand-in into the present root, and ``answers`` (question to value) for it to give.

    Returns what was placed, and a sentence where debconf is there and could not be replaced.
    """
    placed: list[Placed] = []
    notes: list[str] = []
    for path, text in (
        (_RECORD, b""),
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


def question_stand_in() -> tuple[bytes, StandIn]:
    """Return the path of debconf's module and what stands in for it."""
    return _MODULE, StandIn(_STAND_IN, 0, records_all=False)


def question_records() -> tuple[bytes, ...]:
    """Return the paths, inside, of the files that only the stand-in writes to."""
    return _RECORD, _ASKED


def questions_path() -> bytes:
    """Return the path, inside, of the file that holds the recorded questions."""
    return _RECORD


def read_questions(data: bytes) -> tuple[Question, ...]:
    """Return the boolean questions whose answers scripts wanted when they took a package away.

    Each once, in order, with the answer it had first; a person would be asked where it was so even once.
    Raises ValueError for a record that is too long, and for one with a line that is not the stand-in's:
    any line left out may be the question that decides.
    """
    if len(data) > _MOST_BYTES:
        raise ValueError(f"it has {len(data)} bytes, more than the {_MOST_BYTES} that are read")
    found: dict[str, Question] = {}
    *lines, rest = data.split(b"\n")
    if rest:
        raise ValueError("its last line has no end")
    for number, line in enumerate(lines, 1):
        fields = [_plain(field) for field in line.split(b"\t")]
        if len(fields) != 6 or fields[2] not in {"0", "1"} or not re.fullmatch(r"[^\s]{1,300}", fields[0]):
            raise ValueError(f"line {number} is none that a question leaves")
        name, value, asked, package, script, text = fields
        if script not in _TAKING_AWAY:
            continue
        earlier = found.get(name)
        if earlier is None:
            if len(found) == _MOST_QUESTIONS:
                raise ValueError(f"it holds more than {_MOST_QUESTIONS} questions")
            found[name] = Question(name, value == "true", asked == "1", package or None, script, text[:300])
        elif asked == "1" and not earlier.asked:
            found[name] = Question(name, earlier.answer, True, earlier.package, earlier.script, earlier.text)
    return tuple(found.values())


def _plain(field: bytes) -> str:
    """Undo the stand-in's escapes; urllib's function for it takes longer to load than all else here."""
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), field).decode("utf-8", "replace")
