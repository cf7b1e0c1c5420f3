"""A real browser (Debian's chromium), for pages."""

import shutil
import subprocess
from pathlib import Path

import pytest


def open_page(url: str, folder: Path, *options: str) -> tuple[str, list[str]]:
    """What a page is once its scripts have run, and what the browser complained about."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("needs a browser: apt-get install chromium")
    flags = "--headless --no-sandbox --disable-gpu --enable-logging=stderr --v=0"
    command = [chromium, *flags.split(), f"--user-data-dir={folder / 'profile'}", *options]
    command += ["--virtual-time-budget=20000", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
