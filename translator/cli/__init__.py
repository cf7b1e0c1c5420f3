"""The `translator` command: options in, one function called, results printed.

Holds no logic of its own. Torch is imported only inside commands, so that `--help` is fast. Start
with main.py; each command or group has a file, and app.py says how one is registered and fails.
"""
