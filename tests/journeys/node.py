"""Node.js, which comes with the product, and scripts of ours that it runs."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from console.supervisor.packages import NODE


def run(script: Path, *arguments: str, **environment: str) -> Any:
    """What a script prints as JSON."""
    variables = {"PATH": os.environ["PATH"]} | environment
    done = subprocess.run([NODE, script, *arguments], env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
