# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd-detect-virt(1) says in a rehearsal: what it says on the machine.

The real one sees a pid namespace of its own and takes that for a container (systemd 257), where many
scripts leave out half of their work. So the machine's is asked together with the states of units, see
unit_states. Whether this is a chroot, or a user namespace, the real one tells truly.
"""

from __future__ import annotations

from typing import Final

from aptguard.rehearsal.devices import PRIVATE
from aptguard.rehearsal.unit_answers import SHARED
from aptguard.rehearsal.unit_states import ANSWERS, QUESTIONS, STATES

PROGRAM_PATH: Final = PRIVATE + b"/virtualization.pl"

# Options and exit codes as in src/detect-virt/detect-virt.c: of what is asked for the last one counts.
PROGRAM: Final = SHARED + (
    rb"""
my ($original, @arguments) = @ARGV;
sub run_original { exec {$original} $original, @arguments; exit 1; }
sub unanswered { record('?', 'systemd-detect-virt', @arguments); exit 1; }

my @long = qw(help version container vm chroot private-users cvm quiet list list-cvm);
my %short = (h => 'help', c => 'container', v => 'vm', r => 'chroot', q => 'quiet');
my ($asked, $quiet) = ('any', 0);
for my $argument (@arguments) {
	my @names;
	if ($argument =~ /^--(.+)/s) {
		my $name = $1;
		@names = grep { $_ eq $name } @long;
		@names = grep { index($_, $name) == 0 } @long unless @names;
		run_original() if @names != 1;
	} elsif ($argument =~ /^-(.+)/s) {
		@names = map { $short{$_} || 'help' } split //, $1;
	}
	run_original() if !@names || grep { /^(?:help|version|list)/ } @names;
	for (@names) { if ($_ eq 'quiet') { $quiet = 1 } else { $asked = $_ } }
}
run_original() if $asked eq 'chroot' || $asked eq 'private-users';

my $states = slurp('@STATES@');
if ($states !~ /\nend\n\z/) {
	open(my $questions, '+<', '@QUESTIONS@') or unanswered();
	open(my $answers, '+<', '@ANSWERS@') or unanswered();
	syswrite($questions, '?') or unanswered();
	sysread($answers, my $byte, 1) or unanswered();
	$states = slurp('@STATES@');
}
my %said = $states =~ /^virtualization (\S+) (\S+)$/mg;
my $said = $asked ne 'any' ? $said{$asked} : $said{container} eq 'none' ? $said{vm} : $said{container};
unanswered() unless length $said;
print "$said\n" unless $quiet;
exit($said eq 'none' ? 1 : 0);
""".replace(b"@STATES@", STATES)
    .replace(b"@QUESTIONS@", QUESTIONS)
    .replace(b"@ANSWERS@", ANSWERS)
)
