"""No core dump of a process that may hold prompts and answers (I5)."""

import resource

# Not 0: where the kernel pipes dumps to a program (systemd-coredump, apport) it overlooks every limit but 1, which it
# takes for a crash of that program and drops (core(5); `coredump_pipe` in Linux's fs/coredump.c). As a file's size
# 1 byte is as good as 0: too small for any dump.
NO_DUMP = 1


def forbid_core_dumps() -> None:
    """For this process and its children, and for good."""
    resource.setrlimit(resource.RLIMIT_CORE, (NO_DUMP, NO_DUMP))
