# SPDX-License-Identifier: GPL-3.0-or-later
# sudo make install | sudo make test | sudo make test-vm | make deb | make lint | make bench

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := deb
.DELETE_ON_ERROR:
.PHONY: install test test-vm test-upgrade test-lifecycle deb build-deb lint bench corpus fuzz piuparts autopkgtest bench-readme clean need-root build-packages test-packages

# The product's Python is Debian's, whatever else is on the PATH.
PYTHON := /usr/bin/python3
export PATH := /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export DEBIAN_FRONTEND := noninteractive
export LC_ALL := C.UTF-8

VERSION := $(shell sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
# Where all that is built goes; another place lets two builds run at once.
BUILD := build
DEB := $(BUILD)/aptguard_$(VERSION)_all.deb
SOURCE := $(BUILD)/package/aptguard-$(VERSION)
TOOLS := build/venv
TOOL_VERSIONS := ruff==0.17.6 mypy==2.4.1
FUZZ_TOOLS := build/venv-fuzz
FUZZ_TOOL_VERSIONS := atheris==3.0.0

BUILD_PACKAGES := dpkg-dev debhelper dh-python pybuild-plugin-pyproject python3-all python3-setuptools
RUNTIME_PACKAGES := python3-apt python3-pydantic python3-structlog python3-systemd
TEST_PACKAGES := $(BUILD_PACKAGES) $(RUNTIME_PACKAGES) python3-pytest python3-pytest-rerunfailures python3-pytest-xdist python3-hypothesis python3-venv \
	chromium lintian man-db python3-jsonschema shellcheck mmdebstrap systemd-container \
	systemd-journal-remote util-linux zsh btrfs-progs e2fsprogs erofs-utils squashfs-tools xfsprogs

SHELL_SCRIPTS = $(shell grep -rlIE '^#! ?/bin/(ba|da)?sh' .ci debian docs hooks systemd tests --exclude-dir=aptguard) \
	src/aptguard/cli/completions/bash/aptguard

# Tests that share a booted machine stay together (tests/conftest.py). One that fails is tried again,
# and said to have been (R): a busy machine now and then keeps a guest's bus waiting too long.
PYTEST_ARGUMENTS ?= -n 2 --dist loadgroup --reruns 2 --reruns-delay 3 -rR

APT_INSTALL := apt-get -q -y --no-install-recommends install

need-root:
	@test "$$(id -u)" = 0 || { echo "this needs root: sudo make $(MAKECMDGOALS)" >&2; exit 2; }

# apt is asked only for what is missing, and for new lists only when the old ones do not do.
define install_packages
	@missing=$$(for package in $(1); do \
	    dpkg-query -W -f '$${db:Status-Status}\n' "$$package" 2>/dev/null | grep -qx installed || echo "$$package"; \
	done); \
	if [ -n "$$missing" ]; then \
	    $(APT_INSTALL) $$missing </dev/null || { apt-get -q update </dev/null && $(APT_INSTALL) $$missing </dev/null; }; \
	fi
endef

build-packages: need-root
	$(call install_packages,$(BUILD_PACKAGES) $(RUNTIME_PACKAGES))

test-packages: need-root
	$(call install_packages,$(TEST_PACKAGES))

install: build-packages
	@$(MAKE) --no-print-directory deb
	$(APT_INSTALL) --reinstall --allow-downgrades $(abspath $(DEB)) </dev/null
	aptguard selftest

# Built in a copy, so that nothing of the build lands beside the sources; nocheck, for `make test` tests.
# Locked, as test runs that go on at the same time build it too.
deb:
	@mkdir -p build
	@flock build/.lock $(MAKE) --no-print-directory build-deb

build-deb:
	@rm -rf $(BUILD)/package $(BUILD)/aptguard_*_all.deb
	@mkdir -p $(SOURCE)
	@tar --create --exclude=./build --exclude=./.git --exclude=./.hypothesis --exclude='__pycache__' --exclude='.*_cache' . \
	    | tar --extract -C $(SOURCE)
	@cd $(SOURCE) && DEB_BUILD_OPTIONS="nocheck $${DEB_BUILD_OPTIONS:-}" DEB_BUILD_PROFILES=nocheck \
	    dpkg-buildpackage --build=binary --no-sign --no-check-builddeps > ../build.log 2>&1 </dev/null \
	    || { tail -n 60 ../build.log >&2; echo "the package could not be built; all of it: $(BUILD)/package/build.log" >&2; exit 1; }
	@mv $(BUILD)/package/aptguard_*_all.deb $(DEB)
	@echo "$(DEB)"

$(TOOLS)/made: Makefile
	@rm -rf $(TOOLS)
	$(PYTHON) -m venv --system-site-packages $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --retries 2 $(TOOL_VERSIONS) </dev/null
	@touch $@

lint: $(TOOLS)/made deb
	$(TOOLS)/bin/ruff check --extend-exclude build .
	$(TOOLS)/bin/ruff format --check --extend-exclude build .
	$(TOOLS)/bin/mypy
	shellcheck $(SHELL_SCRIPTS)
	lintian --allow-root --pedantic --fail-on error,warning,pedantic --tag-display-limit 0 $(DEB)

# Without the linters, which are not in Debian 12, their own test is skipped with that reason and all others run.
test: test-packages
	@$(MAKE) --no-print-directory $(TOOLS)/made || echo "ruff and mypy could not be installed with pip" >&2
	$(PYTHON) -m pytest -p no:cacheprovider $(PYTEST_ARGUMENTS) </dev/null

# In virtual machines with Debian 12's and 13's own kernels; the processor is emulated where the host has no KVM
# for them. The first time some 600 MB from Debian's archive. make test-vm VM='--debian 13 --group "ways out"'
test-vm: test-packages
	$(call install_packages,qemu-system-x86 e2fsprogs cpio)
	$(PYTHON) -m tests.vm $(VM) </dev/null

# Minutes long, and some 200 MB from Debian's archive.
test-upgrade: test-packages
	$(PYTHON) -m pytest -p no:cacheprovider tests/system/distribution_upgrade.py </dev/null

# An hour on a busy machine (docs/contributing.md). Without atheris, which pip has for Python 3.11 to 3.13, hypothesis
# makes all inputs.
fuzz: test-packages
	@$(MAKE) --no-print-directory $(FUZZ_TOOLS)/made || echo "atheris could not be installed with pip" >&2
	nice -n 15 $(PYTHON) -m tests.fuzz $(FUZZ) </dev/null

$(FUZZ_TOOLS)/made: Makefile
	@rm -rf $(FUZZ_TOOLS)
	$(PYTHON) -m venv --system-site-packages $(FUZZ_TOOLS)
	$(FUZZ_TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --retries 2 $(FUZZ_TOOL_VERSIONS) </dev/null
	@touch $@

# An hour: on both Debians what `make test` does on one of them, and all cases of the front ends and of aptguard's life.
test-lifecycle: test-packages
	APTGUARD_WHOLE=1 $(PYTHON) -m pytest -p no:cacheprovider $(PYTEST_ARGUMENTS) -m on_either_debian \
	    tests/system/whole_life_cycle.py tests/system tests/corpus tests/rehearsal </dev/null

# Minutes long, with some packages from Debian's archive.
piuparts autopkgtest: test-packages
	$(PYTHON) -m pytest -p no:cacheprovider -rR tests/system/package_checkers.py -k $@ </dev/null

bench: test-packages
	$(PYTHON) -m tests.bench $(BENCH) $(BENCH_ARGUMENTS) </dev/null

# After a run with BENCH_ARGUMENTS=--keep: its figures for the README.
bench-readme:
	$(PYTHON) tests/bench/readme.py

# Hours; goes on where it was interrupted. make corpus CORPUS='--debian 13 nginx'
corpus: test-packages
	$(PYTHON) -m tests.corpus $(CORPUS) </dev/null

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache
