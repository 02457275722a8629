"""The libraries of the system that draw text, which a machine may lack: everything but PDF works without."""

import ctypes

# How to get what is missing, on Debian and Ubuntu.
INSTALLS = "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
_LIBRARIES = {
    "libpango-1.0-0": ("libpango-1.0.so.0", "libpango-1.0.dylib"),
    "libpangoft2-1.0-0": ("libpangoft2-1.0.so.0", "libpangoft2-1.0.dylib"),
    "libharfbuzz-subset0": ("libharfbuzz-subset.so.0", "libharfbuzz-subset.0.dylib"),
}


def missing_libraries() -> tuple[str, ...]:
    """The packages (Debian's names) that this machine lacks for PDF; () lets them be made. Looks each time, as they may
    be installed while we run.
    """
    return tuple(package for package, names in _LIBRARIES.items() if not any(map(_loads, names)))


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
