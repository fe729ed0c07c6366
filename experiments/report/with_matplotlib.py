"""Imported first: goes on with the system's python3 where the first one of the path lacks matplotlib."""
import os
import pathlib
import sys

sys.dont_write_bytecode = True
try:
    import matplotlib  # noqa: F401
except ModuleNotFoundError as error:
    if "SHATTER_SYSTEM_PYTHON" not in os.environ and os.access("/usr/bin/python3", os.X_OK):
        os.execve("/usr/bin/python3", ["/usr/bin/python3", *sys.argv], {**os.environ, "SHATTER_SYSTEM_PYTHON": "1"})
    sys.exit(f"{pathlib.Path(sys.argv[0]).stem}: {error}; install python3-matplotlib")
