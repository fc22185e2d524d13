# SPDX-License-Identifier: GPL-3.0-or-later
"""Which calls of deb-systemd-invoke and invoke-rc.d come to pass: what both decide before systemctl runs.

Both ask policy-rc.d, where the machine has one, and start nothing that is disabled and does not run. Their
stand-in decides likewise, by the very policy-rc.d and by the unit files as they are at the time of the call;
what then would be done is recorded under the name DONE_CALL, and unit_answers goes by that. It does not ask
which units are active, unless that alters an answer: whatever is active stays so. Its model are the two
programs of init-system-helpers 1.65.2 and 1.69 (Debian 12 and 13).
"""

from __future__ import annotations

from typing import Final

from aptguard.rehearsal.devices import PRIVATE
from aptguard.rehearsal.unit_answers import DONE_CALL, SHARED
from aptguard.rehearsal.unit_answers import PROGRAM_PATH as UNITS_PATH

PROGRAM_PATH: Final = PRIVATE + b"/service-policy.pl"

PROGRAM: Final = (
    SHARED
    + rb"""
my ($name, $original, @arguments) = @ARGV;
sub run_original { exec {$original} $original, @arguments; exit 1; }
(my $systemctl = $original) =~ s{[^/]*\z}{systemctl};
my $booted = -d '/run/systemd/system';
my $helper = "$ENV{DPKG_ROOT}/usr/sbin/policy-rc.d";
sub done { record('@DONE@', @_) }

# Returns what systemctl says, and whether its exit code says yes.
sub is_enabled {
	local $ENV{SYSTEMD_OFFLINE} = 1;
	my @call = ($systemctl, 'is-enabled', '--', $_[0]);
	open(my $answer, '-|', 'sh', '-c', 'exec "$0" "$@" 2>/dev/null', @call) or return ('', 0);
	my $said = join '', <$answer>;
	close $answer;
	return ($said, $? == 0);
}

sub deb_systemd_invoke {
	run_original() unless $booted;
	my ($of_users, @words);
	while (@arguments) {
		my $word = shift @arguments;
		if ($word eq '--') { push @words, @arguments; last }
		elsif ($word =~ /^--?(user|system)\z/) { $of_users = $1 eq 'user' }
		elsif ($word !~ /^-./) { push @words, $word }
	}
	my ($action, @units) = @words;
	exit 0 if $action =~ /^daemon-re(?:load|exec)\z/;
	exit 1 unless @units;
	for my $unit (-x $helper ? @units : ()) {
		system(qq|$helper $unit "$action"|);
		my $code = $? >> 8;
		if ($code == 101) {
			print STDERR "$helper returned 101, not running '@words'\n";
			exit 0;
		}
		print STDERR "Got return code $code, ignoring.\n" if $code != 0 && $code != 104;
	}
	if ($action =~ /^(?:start|restart)\z/) {
		exit 0 if $of_users;
		my @enabled = grep { (is_enabled($_))[0] =~ /enabled/ } @units;
		done('systemctl', $action, @enabled) if @enabled;
		exit 0;
	}
	if ($action eq 'stop') {
		done('systemctl', $action, @units) unless $of_users;
		exit 0;
	}
	exec 'systemctl', @words;
	exit 1;
}

# What invoke-rc.d tells policy-rc.d, if anything.
sub runlevel {
	my $pid = open(my $answer, '-|');
	if (defined $pid && !$pid) {
		open STDERR, '>', '/dev/null';
		exec {$systemctl} 'runlevel';
		exit 1;
	}
	my ($level) = <$answer> =~ /(\S+)$/;
	close $answer;
	return $? || !length $level ? ($booted ? 5 : '') : $level;
}

sub invoke_rc_d {
	my (%has, @words);
	my $known = qr/^--(?:quiet|force|try-anyway|disclose-deny|query|no-fallback|skip-systemd-native)\z/;
	for my $word (@arguments) {
		if ($word =~ $known) { $has{$word} = 1 }
		elsif ($word =~ /^--/) { run_original() }
		else { push @words, $word; last if @words == 2 }
	}
	run_original() if @words < 2;
	if ($has{'--query'}) { record('?', $name, @arguments); exit 104 }
	my ($script, $action) = @words;
	(my $unit = $script) =~ s/\.sh\z//;
	$unit .= '.service';
	if (!$booted) {
		if ($action eq 'status') {
			record('?', $name, @arguments) if -e "/etc/init.d/$script";
			run_original();
		}
		record('?', $name, @arguments) if $has{'--disclose-deny'};
	}
	my $tells = sub { print STDERR "invoke-rc.d: @_\n" unless $has{'--quiet'} };
	my $denies = sub {
		exit($has{'--disclose-deny'} || $_[0] != 101 ? $_[0] : $action eq 'status' ? 4 : 0);
	};

	my $code;
	if ($booted && $action =~ /^(?:start|restart|try-restart)\z/) {
		my @links = glob "/etc/rc[S2345].d/S[0-9][0-9]$script";
		$code = 104 if @links || (is_enabled($unit))[1];
		# Where nobody asks, an active unit stays as it is, and another is not started.
		exit 0 unless $code || -x $helper || $has{'--disclose-deny'} || $has{'--force'};
		$code ||= system('systemctl', '--quiet', 'is-active', $unit) ? 101 : 104;
	}
	my $level = -x $helper ? runlevel() : '';
	my $ends = $level =~ /^[06]\z/;  # then there is no policy
	my $force = $has{'--force'} || $ends;
	my $retries = $force || $has{'--try-anyway'};
	if (-x $helper && !$ends) {
		my @call = ($helper, $has{'--quiet'} ? '--quiet' : (), $script, $code == 101 ? "($action)" : $action);
		open(my $answer, '-|', @call, length $level ? $level : ());
		my ($instead) = split ' ', join '', <$answer>;
		close $answer;
		$code = $? >> 8;
		$code = 102 if $? & 127 || $code != 0 && $code != 1 && ($code < 100 || $code > 106);
		$code = 104 if $code == 0 || $code == 1 || $code == 105;
		$tells->("policy-rc.d denied execution of $action.") if $code == 101;
		if ($code == 106 && $force) { $code = 104 }
		elsif ($code == 106 && $has{'--no-fallback'}) { $code = 101 }
		elsif ($code == 106) {
			exit 102 unless length $instead;
			$tells->("executing action \"$instead\" instead due to policy-rc.d request.");
			($action, $code) = ($instead, 104);
		}
	} else {
		$code = 101 if !-e '/sbin/init' && !$force;
		$code ||= 104;
	}
	if ($code != 101 && $code != 104) {
		$tells->("policy-rc.d returned error status $code");
		exit $code unless $retries;
		$code = 102;
	}
	$denies->($code) unless $force || $code == 104;

	exit 0 unless $booted;
	exit 0 if $has{'--skip-systemd-native'} && !is_of_script($script, $unit);
	if ($action eq 'status') {
		exec {$^X} $^X, '@UNITS@', $systemctl, 'status', $unit;
		exit 1;
	}
	done($name, $script, $action);
	exit 0;
}
# As its SourcePath would tell: for a script without a unit file systemd makes a unit.
sub is_of_script {
	my ($script, $unit) = @_;
	my @places = map { "$_/systemd/system" } '/etc', '/run', '/usr/local/lib', '/usr/lib', '/lib';
	push @places, map { "/run/systemd/$_" } qw(transient generator.early generator);
	return -e "/etc/init.d/$script" && !grep { -e "$_/$unit" || -l "$_/$unit" } @places;
}
$name eq 'invoke-rc.d' ? invoke_rc_d() : deb_systemd_invoke();
""".replace(b"@DONE@", DONE_CALL).replace(b"@UNITS@", UNITS_PATH)
)
