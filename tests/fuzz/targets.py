# SPDX-License-Identifier: GPL-3.0-or-later
"""All targets."""

from __future__ import annotations

from fuzz.deciding import AptTarget, DpkgTarget
from fuzz.readers import (
    AccountsTarget,
    DpkgFilesTarget,
    FileListTarget,
    MountinfoTarget,
    PolicyTarget,
    RecordedCallsTarget,
)
from fuzz.stored import (
    LastValidTarget,
    LedgerFileTarget,
    LedgerRowsTarget,
    RehearsalAnswerTarget,
    ReportTarget,
)
from fuzz.talking import GuardTarget, ReplyTarget, SocketTarget, VarlinkTarget
from fuzz.target import Target

TARGETS: dict[str, type[Target]] = {
    target.name: target
    for target in (
        AptTarget,
        DpkgTarget,
        PolicyTarget,
        FileListTarget,
        AccountsTarget,
        MountinfoTarget,
        DpkgFilesTarget,
        RecordedCallsTarget,
        LedgerFileTarget,
        LedgerRowsTarget,
        VarlinkTarget,
        GuardTarget,
        SocketTarget,
        ReplyTarget,
        ReportTarget,
        RehearsalAnswerTarget,
        LastValidTarget,
    )
}
