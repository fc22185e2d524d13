# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths mean something else on a file system that knows no case."""

from __future__ import annotations

import pytest

from aptguard.rehearsal.observer import NoObserver, ObservedLayer, ShieldedObserver
from aptguard.rehearsal.other_case import in_other_case, paths_in_command, paths_named

EFI = b"/boot/efi"
TREE: dict[bytes, tuple[bytes, ...]] = {
    b"": (b"EFI", b"loader", "\u00c4\u00d6".encode(), b"raw\xff"),
    b"EFI": (b"debian", b"BOOT"),
    b"EFI/debian": (b"grubx64.efi", b"grub.cfg"),
    b"EFI/BOOT": (b"BOOTX64.EFI",),
    b"loader": (),
}


def listing(directory: bytes) -> tuple[bytes, ...]:
    return TREE.get(directory, ())


@pytest.mark.parametrize(
    ("path", "real"),
    [
        (b"EFI/debian", None),
        (b"EFI/debian/grubx64.efi", None),
        (b"EFI/new", None),
        (b"new/efi", None),
        (b"", None),
        (b"efi", b"EFI"),
        (b"efi/debian", b"EFI/debian"),
        (b"EFI/Debian/", b"EFI/debian"),
        (b"./EFI//boot/bootx64.efi", b"EFI/BOOT/BOOTX64.EFI"),
        (b"efi/new/file", b"EFI"),
        (b"efi/*", b"EFI"),
        (b"EFI/deb*", None),
        (b"EFI/../Loader", b"loader"),
        (b"EFI/debian.", b"EFI/debian"),
        ("\u00e4\u00f6".encode(), "\u00c4\u00d6".encode()),
        (b"RAW\xff", b"raw\xff"),
    ],
)
def test_a_name_that_exists_in_another_case_only_is_found(path: bytes, real: bytes | None) -> None:
    assert in_other_case(path, listing) == real


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (b"rm -rf /boot/efi/efi/debian", [b"efi/debian"]),
        (b'rm -rf "/boot/efi"/efi/debian; ls /boot/efi', [b"efi/debian"]),
        (b"echo x >/boot/efi/a;cat '/boot/efi/b'", [b"a", b"b"]),
        (b"rm /boot/efi/efi/$ID/x", [b"efi"]),
        (b"rm /boot/efi/efi/pre${ID}", [b"efi"]),
        (b"ESP=/boot/efi/efi", [b"efi"]),
        (b"dd of=/boot/efi/x", [b"x"]),
        (b"rm /mnt/boot/efi/x /boot/efis/y /boot/grub", []),
    ],
)
def test_the_paths_that_a_script_spells_out_are_read_from_its_text(text: bytes, paths: list[bytes]) -> None:
    assert list(paths_named(text, EFI)) == paths


@pytest.mark.parametrize(
    ("argv", "directory", "paths"),
    [
        ([b"rm", b"-rf", b"/boot/efi/efi/a b"], b"", {b"efi/a b"}),
        ([b"rm", b"-rf", b"efi/debian"], b"/boot/efi", {b"efi/debian", b""}),
        ([b"rm", b"efi/efi/x"], b"/boot", {b"efi/x"}),
        ([b"rm", b"../efi/x"], b"/boot/efi/EFI", {b"efi/x"}),
        ([b"rm", b"efi/debian"], b"", set()),
        ([b"grep", b"x", b"/etc/fstab"], b"/", set()),
        ([b"/boot/efi/x"], b"/", set()),
    ],
)
def test_a_command_names_paths_from_its_directory_too(
    argv: list[bytes], directory: bytes, paths: set[bytes]
) -> None:
    assert set(paths_in_command(argv, directory, EFI)) - {b""} == paths - {b""}


class Broken(NoObserver):
    def finish(self) -> None:
        raise ValueError("it does not work")


@pytest.mark.parametrize("ignores_case", [True, False])
def test_where_nothing_was_observed_a_place_without_case_is_unknown(ignores_case: bool) -> None:
    layer = ObservedLayer(EFI, -1, -1, ignores_case=ignores_case)
    observer = ShieldedObserver(Broken((), ""), ())
    observer.attach(-1, -1, (layer,))
    observer.finish()
    assert [unknown.path for unknown in observer.unknowns] == ([EFI] if ignores_case else [])
