# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that scripts have started by systemd-run, systemd-cat and start-stop-daemon: they run here too.

There is no service manager inside to start them. A stand-in for systemd-run runs the command itself, as root,
in / and with an environment of its own, as the service manager would; where it would be run elsewhere or as
something else, the call is recorded under the name UNCLEAR_CALL. A daemon that start-stop-daemon starts is
only recorded where it belongs to the package whose script starts it; any other program (rm, a shell) is run
by the real start-stop-daemon. Options are those of systemd 257 and dpkg 1.22.
"""

from __future__ import annotations

from typing import Final

from aptguard.rehearsal.devices import PRIVATE
from aptguard.rehearsal.unit_answers import SHARED

UNCLEAR_CALL: Final = b"!"
PROGRAM_PATH: Final = PRIVATE + b"/programs.pl"

PROGRAM: Final = (
    SHARED
    + rb"""
my ($name, $original, @arguments) = @ARGV;
sub run_original { exec {$original} $original, @arguments; exit 1; }
sub all_of { my $option = shift; return map { @{$option->{$_} || []} } @_ }

sub start_stop_daemon {
	my %takes = map { $_ => 1 } qw(-x --exec -a --startas -n --name --pid --ppid -p --pidfile -u --user
		-c --chuid -g --group -r --chroot -d --chdir -s --signal -R --retry -N --nicelevel -P --procsched
		-I --iosched
		-k --umask -O --output --notify-timeout);
	my ($option) = sorted_out(\%takes, 1, @arguments);
	my $has = sub { grep { $option->{$_} } @_ };
	run_original() if $has->(qw(-H --help -V --version));
	# They ask whether it runs; of what a missing pidfile names, none does.
	my $stops = $has->('-K', '--stop');
	my $sends_nothing = grep { /^\+?0+\z/ } all_of($option, '-s', '--signal');
	if ($has->('-T', '--status', '-t', '--test') || $stops && $sends_nothing) {
		my ($file) = all_of($option, '-p', '--pidfile');
		record('?', $name, @arguments) if !defined $file || -e $file || $has->('--pid');
		run_original();
	}
	exit 0 if $stops;
	run_original() if !$has->('-S', '--start') || $has->('-r', '--chroot');
	my ($program) = (all_of($option, '-a', '--startas'), all_of($option, '-x', '--exec'));
	exit 0 if defined $program && is_own($program);
	run_original();
}
sub is_own {
	my ($path) = @_;
	my $package = $ENV{DPKG_MAINTSCRIPT_PACKAGE};
	return 0 unless length $package && $path =~ m{^/};
	open(my $answer, '-|', 'readlink', '-e', '--', $path) or return 0;
	chomp(my $real = <$answer>);
	my $merged = qr{^/(?=(?:bin|sbin|lib\w*)/)};
	$real =~ s{$merged}{/usr/};
	for my $list (map { glob "/var/lib/dpkg/info/$package$_.list" } '', ':*') {
		for my $line (split /\n/, slurp($list)) {
			$line =~ s{$merged}{/usr/};
			return 1 if $line eq $real;
		}
	}
	return 0;
}

# Properties that let the command do what it does anyway.
my $harmless = qr/^(?:(?:Type|Description|Documentation|Slice|After|Before|Wants|Requires|BindsTo|PartOf
	|Conflicts|CollectMode|Restart\w*|RemainAfterExit|Kill\w+|SendSIG\w+|Timeout\w+|RuntimeMaxSec|SuccessExitStatus|Nice
	|IO\w+|CPU\w+|Memory\w+|Tasks\w+|OOM\w+|Limit\w+|SyslogIdentifier|Log\w+|Delegate|DefaultDependencies
	|StartLimit\w+|AddRef|GuessMainPID|Environment|User|Group|WorkingDirectory)=
	|Standard(?:Input|Output|Error)=(?:null|journal|inherit|kmsg|tty))/x;
sub systemd_run {
	delete $ENV{SYSTEMD_OFFLINE}, run_original() unless -d '/run/systemd/system';
	my %takes = map { $_ => 1 } qw(-u --unit -p --property --description --slice --uid --gid --nice
		--working-directory -E --setenv --service-type --on-active --on-boot --on-startup --on-unit-active
		--on-unit-inactive --on-calendar --timer-property --path-property --socket-property -M --machine
		-H --host -C --capsule --background --job-mode --json --expand-environment --root-directory);
	my ($option, @command) = sorted_out(\%takes, 0, @arguments);
	my $has = sub { grep { $option->{$_} } @_ };
	run_original() if $has->('-h', '--help', '--version');
	my $unclear = $has->(qw(--user --path-property --socket-property --root-directory -R));
	my %property = map { /^(\w+)=(.*)/s ? ($1, $2) : () } all_of($option, '-p', '--property');
	$unclear ||= grep { !/$harmless/ } all_of($option, '-p', '--property');
	if ($has->(qw(-M --machine -H --host -C --capsule)) || !@command && $has->('-S', '--shell')) {
		record('!', $name, @arguments);
		exit 1;
	}
	if ($has->('-S', '--shell')) { $unclear = 1 }
	if (!@command) {
		exit 0 if $has->('-u', '--unit') && grep { /^--on-/ } keys %$option;  # starts a unit that there is
		print STDERR "Command line to execute required.\n";
		exit 1;
	}
	my ($found) = $command[0] =~ m{/} ? grep { -x } $command[0]
		: grep { -f && -x } map { "$_/$command[0]" } split /:/, $ENV{PATH};
	if (!defined $found) {
		print STDERR "Failed to find executable $command[0]: No such file or directory\n";
		exit 1;
	}
	my $scope = $has->('--scope');
	my ($expands) = all_of($option, '--expand-environment');
	if (defined $expands ? $expands =~ /^(?:1|yes|true|on|y|t)\z/ : !$scope) {
		for (@command) { s/\$\$/\0/g; $unclear ||= /\$/; s/\0/\$/g }
	}
	record('!', $name, @arguments) if $unclear;
	my %own = map { /^([^=]+)=(.*)/s ? ($1, $2) : ($_, $ENV{$_}) } all_of($option, '-E', '--setenv'),
		$property{Environment} ? $property{Environment} : ();
	my ($directory) = (all_of($option, '--working-directory'), $property{WorkingDirectory});
	my ($user) = (all_of($option, '--uid'), $property{User});
	my ($group) = (all_of($option, '--gid'), $property{Group});
	if (defined $user || defined $group) {
		my @account = defined $user ? ($user =~ /^\d+\z/ ? getpwuid $user : getpwnam $user) : ();
		my @as = ('setpriv', defined $user ? ('--reuid', $user) : ());
		push @as, '--regid', defined $group ? $group : @account ? $account[3] : $user;
		unshift @command, @as, @account ? '--init-groups' : '--clear-groups', '--';
	}
	my $be_it = sub {
		if (!$scope) {
			my %outer = %ENV;
			%ENV = (PATH => '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
				map { defined $outer{$_} ? ($_, $outer{$_}) : () } 'LANG', 'SYSTEMD_OFFLINE');
			chdir '/' unless $has->('-d', '--same-dir');
		}
		%ENV = (%ENV, %own);
		chdir $directory or exit 200 if defined $directory;
		exec {$command[0]} @command;
		exit 203;
	};
	$be_it->() if $scope;
	my $attached = $has->(qw(-P --pipe -t --pty -T --pty-late));
	my ($type) = (all_of($option, '--service-type'), $property{Type});
	my $timed = grep { /^--on-/ } keys %$option;
	my $waits = !$timed && ($attached || $has->('--wait'));
	my $one_shot = !$timed && $type eq 'oneshot' && !$has->('--no-block');
	print STDERR "Running as unit: run-u1.service\n" unless $has->('-q', '--quiet');
	my $pid = fork;
	exit 1 unless defined $pid;
	if (!$pid) {
		if (!$attached) { open STDIN, '<', '/dev/null'; open STDOUT, '>&', \*STDERR }
		$be_it->();
	}
	exit 0 unless $waits || $one_shot;
	waitpid $pid, 0;
	my $failed = ($? & 127) || ($? && $one_shot && !$waits);
	exit($failed ? 1 : $? >> 8);
}

# What it is given, or what its command writes, goes to the journal, and nowhere else.
sub systemd_cat {
	run_original() unless -d '/run/systemd/system';
	my %takes = map { $_ => 1 }
		qw(-t --identifier -p --priority --stderr-priority --level-prefix --namespace);
	my ($option, @command) = sorted_out(\%takes, 0, @arguments);
	run_original() if grep { $option->{$_} } '-h', '--help', '--version';
	if (!@command) { 1 while sysread STDIN, my $block, 1 << 16; exit 0 }
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', '/dev/null';
	exec {$command[0]} @command;
	exit 1;
}
$name eq 'systemd-run' ? systemd_run() : $name eq 'systemd-cat' ? systemd_cat() : start_stop_daemon();
"""
)
