"""The `translator` command: options in, one function called, results printed.

Holds no logic of its own, and imports torch only inside a command. Start with main.py; each command
or group of commands has a file, app.py says how one is registered and how it fails.
"""
