"""What the machine gives: devices and memory, processes, signals, seeds, and files written safely.

Knows nothing of text or translation. Start with disk.py: every file that must survive a crash is
written there.
"""
