# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts hear in a rehearsal when they ask about units: the machine's answers, and what followed.

A stand-in for systemctl answers from two files: the states of the machine's units, which are fetched when the
first question is asked (see unit_states), and the record of the calls made in this rehearsal, so that what
was stopped in it is inactive afterwards. What it cannot answer truly it records under the name UNANSWERED.
Words and exit codes are those of systemctl 252 and 257, looked up on booted machines.
"""

from __future__ import annotations

from typing import Final

from aptguard.rehearsal.devices import PRIVATE
from aptguard.rehearsal.unit_states import ANSWERS, QUESTIONS, STATES

UNANSWERED: Final = b"?"
# What came of a call that others decide on (see service_policy).
DONE_CALL: Final = b"="
PROGRAM_PATH: Final = PRIVATE + b"/units.pl"
# Verbs whose answer is not in the unit files alone; without any, systemctl lists units.
ONLINE_VERBS: Final = (
    b"is-active is-failed is-system-running show status cat list-units list-jobs list-timers list-sockets "
    b"list-paths list-automounts list-dependencies list-machines show-environment log-level log-target whoami"
).split()
# Of systemctl: these take the next word where they have no value of their own.
OPTIONS_WITH_VALUES: Final = (
    b"-t --type --state -p --property -P -M --machine -H --host -C --capsule -n --lines -o --output "
    b"-s --signal --kill-whom --kill-who --kill-value --root --image --image-policy --what --job-mode "
    b"--preset-mode --message --check-inhibitors --timestamp --drop-in --when --boot-loader-menu "
    b"--boot-loader-entry --reboot-argument"
).split()

# Shared by the stand-ins in Perl.
SHARED: Final = rb"""
use strict; no warnings;
sub record {
	my $caller = "\@$ENV{DPKG_MAINTSCRIPT_PACKAGE} $ENV{DPKG_MAINTSCRIPT_NAME}\t$ENV{PWD}";
	open(my $calls, '>>', '@CALLS@') or return;
	syswrite $calls, join("\0", 1 + @_, $caller, @_)."\0";
}
sub slurp {
	open(my $file, '<', $_[0]) or return '';
	local $/;
	return scalar <$file>;
}
# Returns the options with their values, each a list, and the words. Options end at the first word unless they
# are $permuted; those that $takes knows take the next word where they have no value of their own.
sub sorted_out {
	my ($takes, $permuted, @rest) = @_;
	my (%option, @words);
	while (@rest) {
		my $word = shift @rest;
		if ($word eq '--') { push @words, @rest; last }
		elsif ($word =~ /^(--[^=]+)=(.*)/s) { push @{$option{$1}}, $2 }
		elsif ($word =~ /^--/) { push @{$option{$word}}, $takes->{$word} ? shift @rest : 1 }
		elsif ($word =~ /^-(.+)/s) {
			my @letters = split //, $1;
			while (defined(my $letter = shift @letters)) {
				my $value = !$takes->{"-$letter"} ? 1 : @letters ? join('', splice @letters) : shift @rest;
				push @{$option{"-$letter"}}, $value;
			}
		}
		else { push @words, $word; if (!$permuted) { push @words, @rest; last } }
	}
	return (\%option, @words);
}
"""

PROGRAM: Final = SHARED + (
    rb"""
my ($original, @arguments) = @ARGV;
sub run_original { $ENV{SYSTEMD_OFFLINE} = 1; exec {$original} $original, @arguments; exit 1; }
sub unanswered { record('?', 'systemctl', @arguments); exit $_[0]; }

my %takes = map { $_ => 1 } qw(@OPTIONS@);
my ($option, @words) = sorted_out(\%takes, 1, @arguments);
my $verb = @words ? shift @words : 'list-units';
my $has = sub { grep { $option->{$_} } @_ };
run_original() if $has->('-h', '--help', '--version', '--root', '--image', '--global');
run_original() unless grep { $_ eq $verb } qw(@VERBS@);
unanswered(1) if $has->('--user', '-M', '--machine', '-H', '--host', '-C', '--capsule');

my $states = slurp('@STATES@');
if ($states !~ /\nend\n\z/) {
	open(my $questions, '+<', '@QUESTIONS@') or unanswered(1);
	open(my $answers, '+<', '@ANSWERS@') or unanswered(1);
	syswrite($questions, '?') or unanswered(1);
	sysread($answers, my $byte, 1) or unanswered(1);
	$states = slurp('@STATES@');
}
my ($system, $system_exit, $missing) = $states =~ /^system (\S*) (\d+)\nmissing (\d+)\n/ or unanswered(1);
my ($shown) = $states =~ /\nshown (\d+)\nend\n\z/ or unanswered(1);
# Nobody knows what a service manager that is only slow (timeout(1): 124) would have said.
unanswered(1) if $shown || grep { $_ == 124 } $system_exit, $missing;
if ($verb eq 'is-system-running') {
	print "$system\n" unless $has->('-q', '--quiet');
	exit $system_exit;
}
run_original() if $system eq 'offline';  # a chroot, where systemctl ignores questions

my (%unit, %id_of);
for my $text (split /\n\n+/, $states) {
	my %one = map { /^([A-Za-z]+)=(.*)/s ? ($1, $2) : () } split /\n/, $text;
	next unless $one{Id};
	$unit{$one{Id}} = \%one;
	$id_of{$_} = $one{Id} for $one{Id}, split / /, $one{Names};
}
my @places = map { "$_/systemd/system" } '/etc', '/run', '/usr/local/lib', '/usr/lib', '/lib';
push @places, map { "/run/systemd/$_" } 'transient', 'generator.early', 'generator', 'generator.late';
sub file_of {
	my ($name) = @_;
	(my $template = $name) =~ s/\@.+\./\@./;
	for my $file (map { my $place = $_; map { "$place/$_" } $name, $template } @places) {
		return $file if -e $file || -l $file;
	}
	return $name =~ /^(.+)\.service\z/ && -e "/etc/init.d/$1" ? "/etc/init.d/$1" : undef;
}
sub full_name {
	my ($word) = @_;
	my $of_unit = qr/\.(?:service|socket|target|device|mount|automount|swap|timer|path|slice|scope)\z/;
	if ($word =~ m{^/}) {
		(my $name = $word) =~ s{^/+|/+\z}{}g;
		$name =~ s{([^A-Za-z0-9:_./]|(?:^|(?<=/))\.)}{sprintf '\\x%02x', ord $1}ge;
		$name =~ s{/+}{-}g;
		return length $name ? $name.($word =~ m{^/(?:dev|sys)/} ? '.device' : '.mount') : '-.mount';
	}
	return $word =~ $of_unit ? $word : "$word.service";
}
sub loaded_by {
	my ($word) = @_;
	my $pattern = $word =~ /\.[a-z]+\z/ || $word =~ /\*\z/ ? $word : "$word.service";
	my @parts = $pattern =~ /\[.*?\]|./gs;
	my $as = join '', map { $_ eq '*' ? '.*' : $_ eq '?' ? '.' : /^\[/ ? $_ : quotemeta } @parts;
	return sort grep { /^$as\z/s } keys %unit;
}
sub known {
	my ($word) = @_;
	return loaded_by($word) if $word =~ /[*?\[]/;
	my $name = full_name($word);
	return $id_of{$name} if $id_of{$name};
	my $file = file_of($name);
	my $real = defined $file && -l $file ? readlink $file : '';
	(my $base = $real) =~ s{.*/}{};
	return $id_of{$base} if $id_of{$base};
	$unit{$name} = {Id => $name, Names => $name, Description => $name, FragmentPath => $file || '',
		ActiveState => 'inactive', SubState => 'dead', LoadState => !defined $file ? 'not-found'
		: $real eq '/dev/null' ? 'masked' : 'loaded', new => 1};
	return $id_of{$name} = $name;
}

# What the calls of this rehearsal have made of them. A stopped unit that has failed stays failed (unit_stop()
# in systemd's src/core/unit.c) until it is reset or started.
my %becomes = (start => 'active', restart => 'active', 'reload-or-restart' => 'active', stop => 'inactive',
	'force-restart' => 'active', 'reset-failed' => 'reset', kill => 'unclear', isolate => 'everything',
	default => 'everything', rescue => 'everything', emergency => 'everything');
my %changed;
sub note_call {
	my ($program, @call) = @_;
	($program, @call) = @call if $program eq '@DONE@';
	my ($option, @names) = sorted_out(\%takes, 1, @call);
	return if $option->{'--user'} || $option->{'--root'} || $option->{'-M'} || $option->{'--machine'};
	my $verb;
	if ($program eq 'systemctl') {
		$verb = shift @names;
		if ($option->{'--now'}) {
			if ($verb eq 'enable') { s{.*/}{}s for @names }
			$verb = $verb eq 'enable' ? 'start' : $verb =~ /^(?:disable|mask)\z/ ? 'stop' : '';
		}
	} elsif ($program eq 'service' || $program eq 'invoke-rc.d' && $_[0] ne $program) {
		(my $name, $verb) = @names;
		$name =~ s/\.sh\z//;
		@names = ($name);
		$verb = 'restart' if $option->{'--full-restart'};
		if ($verb eq 'force-reload') {
			@names = grep { can_reload($_) eq 'no' } map { known($_) } @names;
			$verb = 'restart';
		}
		$verb = 'kill' if $verb eq 'force-stop';
	} else { return }
	my $state = $becomes{$verb} or return;
	@names = keys %unit if $state eq 'everything' || $state eq 'reset' && !@names;
	for my $id (map { known($_) } @names) {
		next if $unit{$id}{LoadState} =~ /^(?:not-found|masked)\z/ && $state eq 'active';
		my $is_failed = ($changed{$id} || $unit{$id}{ActiveState}) eq 'failed';
		next if $state eq 'inactive' && $is_failed || $state eq 'reset' && !$is_failed;
		$changed{$id} = $state eq 'everything' ? 'unclear' : $state eq 'reset' ? 'inactive' : $state;
	}
}
my @record = split /\0/, slurp('@CALLS@'), -1;
while (@record && $record[0] =~ /^\d{1,5}\z/) {
	my @call = splice @record, 0, 1 + $record[0];
	shift @call;
	shift @call if $call[0] =~ /^\@/;
	note_call(@call);
}
sub of {
	my ($id) = @_;
	my %one = %{$unit{$id}};
	my $file = file_of($id);
	@one{qw(LoadState FragmentPath)} = ('loaded', $file) if $one{LoadState} eq 'not-found' && defined $file;
	my $state = $changed{$id} or return \%one;
	unanswered(1) if $state eq 'unclear';
	@one{qw(ActiveState SubState MainPID Result)} = $state eq 'active'
		? ('active', $id =~ /\.service\z/ ? 'running' : 'active', undef, undef)
		: ('inactive', 'dead', 0, 'success');
	return \%one;
}

# systemd knows it of units that it has loaded, else it is in their files (service_can_reload() in systemd's
# src/core/service.c; of init scripts usage_contains_reload() in src/sysv-generator/sysv-generator.c).
sub can_reload {
	my ($id) = @_;
	return $unit{$id}{CanReload} if length $unit{$id}{CanReload};
	my $file = file_of($id);
	return $id =~ /\.mount\z/ ? 'yes' : 'no' if !defined $file || $id !~ /\.service\z/;
	my $usage = qr/^(?![ \t]*#).*usage.*(?:\\\n.*)*?[{|]reload[|}"]/im;
	return slurp($file) =~ $usage ? 'yes' : 'no' if $file =~ m{^/etc/init\.d/};
	my @parts = ($file, map { glob "\Q$_/$id\E.d/*.conf" } @places);
	my $reloads = qr/^\s*(?:ExecReload\s*=\s*\S|Type\s*=\s*notify-reload\b)/m;
	return (grep { slurp($_) =~ $reloads } @parts) ? 'yes' : 'no';
}

my $quiet = $has->('-q', '--quiet');
if ($verb eq 'is-active' || $verb eq 'is-failed') {
	unanswered(1) unless @words;
	my $good = $verb eq 'is-active' ? qr/^(?:active|reloading|refreshing)\z/ : qr/^failed\z/;
	my ($any, $found);
	for my $one (map { of($_) } map { known($_) } @words) {
		print "$one->{ActiveState}\n" unless $quiet;
		$any ||= $one->{ActiveState} =~ $good;
		$found ||= $one->{LoadState} ne 'not-found';
	}
	exit 0 if $any;
	my $no = $verb eq 'is-active' ? 3 : 1;
	exit(!$found && $missing == 4 ? 4 : $no);
}
if ($verb eq 'status') {
	unanswered(3) if !@words || grep { /^\d+\z/ } @words;
	my $exit = 0;
	for my $one (map { of($_) } map { known($_) } @words) {
		if ($one->{LoadState} eq 'not-found') {
			print STDERR "Unit $one->{Id} could not be found.\n";
			$exit = 4;
			next;
		}
		my $off = $one->{ActiveState} =~ /^(?:inactive|failed)\z/;
		$exit ||= 3 if $off;
		next if $quiet;
		my $mark = $one->{ActiveState} eq 'inactive' ? "\xe2\x97\x8b" : "\xe2\x97\x8f";
		print "$mark $one->{Id} - $one->{Description}\n",
			"     Loaded: $one->{LoadState} ($one->{FragmentPath}; ".file_state($one->{Id}).")\n",
			"     Active: $one->{ActiveState} ($one->{SubState})\n";
	}
	exit $exit;
}
sub file_state {
	my ($id) = @_;
	local $ENV{SYSTEMD_OFFLINE} = 1;
	open(my $answer, '-|', $original, 'is-enabled', '--', $id) or return '';
	chomp(my $state = <$answer>);
	return $state eq 'not-found' ? '' : $state;
}
if ($verb eq 'show') {
	my @wanted = map { split /,/ } map { @{$option->{$_} || []} } qw(-p --property -P);
	my @order = qw(Type MainPID Result Id Names Description LoadState ActiveState SubState FragmentPath
		SourcePath UnitFileState CanReload);
	my %order = map { $_ => 1 } @order;
	unanswered(0) if !@words || !@wanted || grep { !$order{$_} } @wanted;
	my %asked = map { $_ => 1 } @wanted;
	my $bare = $has->('-P', '--value');
	my $further = 0;
	for my $one (map { of($_) } map { known($_) } @words) {
		print "\n" if $further++;
		for my $name (grep { $asked{$_} } @order) {
			my $value = $name eq 'UnitFileState' ? file_state($one->{Id})
				: $name eq 'CanReload' ? can_reload($one->{Id}) : $one->{$name};
			my $of_services = $name =~ /^(?:Type|MainPID|Result)\z/;
			next if $of_services && $one->{Id} !~ /\.(?:service|mount|socket|swap|timer)\z/;
			unanswered(0) if $of_services && !defined $value && $one->{LoadState} ne 'not-found';
			print $bare ? "$value\n" : "$name=$value\n";
		}
	}
	exit 0;
}
if ($verb eq 'list-units') {
	my @types = map { split /,/ } map { @{$option->{$_} || []} } qw(-t --type);
	my @states = map { split /,/ } @{$option->{'--state'} || []}, $option->{'--failed'} ? 'failed' : ();
	unanswered(0) if $has->('-o', '--output', '-r', '--recursive');
	my @rows;
	my %row = map { $_ => 1 } @words ? map { known($_) } @words : keys %unit;
	my $by_kind = sub { my ($name, $kind) = $_[0] =~ /^(.*)\.([a-z]+)\z/s; "$kind\0$name" };
	for my $id (sort { $by_kind->($a) cmp $by_kind->($b) } keys %row) {
		my $one = of($id);
		next if $one->{LoadState} eq 'not-found' && $unit{$id}{new};
		next if @types && !grep { $id =~ /\.\Q$_\E\z/ || $_ eq $one->{LoadState} } @types;
		my @state = @$one{qw(LoadState ActiveState SubState)};
		next if @states && !grep { my $wanted = $_; grep { $_ eq $wanted } @state } @states;
		next if !@states && $one->{ActiveState} eq 'inactive' && !$has->('-a', '--all');
		push @rows, [$id, @state, $one->{Description}];
	}
	my $wants_legend = ($option->{'--legend'} || [$quiet ? 'no' : 'yes'])->[-1];
	my $legend = !$has->('--no-legend') && $wants_legend !~ /^(?:0|no|false|n|off)\z/;
	unshift @rows, [qw(UNIT LOAD ACTIVE SUB DESCRIPTION)] if $legend;
	my @width = map { my $column = $_; my $widest = 0;
		for (@rows) { $widest = length $_->[$column] if length $_->[$column] > $widest } $widest } 0 .. 3;
	my $plain = $has->('--plain');
	for my $row (@rows) {
		my $mark = $plain ? '' : $row->[2] eq 'failed' || $row->[1] eq 'not-found' ? "\xe2\x97\x8f " : '  ';
		print $mark, join(' ', (map { sprintf '%-*s', $width[$_], $row->[$_] } 0 .. 3), $row->[4]), "\n";
	}
	print "\n", scalar(@rows) - 1, " loaded units listed.\n" if $legend;
	exit 0;
}
if ($verb eq 'cat') {
	unanswered(1) if !@words;
	my $printed = 0;
	for my $id (map { known($_) } @words) {
		my $file = -e $unit{$id}{FragmentPath} ? $unit{$id}{FragmentPath} : file_of($id);
		if (!defined $file || $file =~ m{^/etc/init\.d/}) { print STDERR "No files found for $id.\n"; exit 1 }
		for my $part ($file, map { sort glob "\Q$_/$id\E.d/*.conf" } reverse @places) {
			print $printed++ ? "\n" : '', "# $part\n", slurp($part);
		}
	}
	exit 0;
}
unanswered(0);
""".replace(b"@VERBS@", b" ".join(ONLINE_VERBS))
    .replace(b"@OPTIONS@", b" ".join(OPTIONS_WITH_VALUES))
    .replace(b"@STATES@", STATES)
    .replace(b"@DONE@", DONE_CALL)
    .replace(b"@QUESTIONS@", QUESTIONS)
    .replace(b"@ANSWERS@", ANSWERS)
)
