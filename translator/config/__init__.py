"""Every setting: from presets, TOML files and options to one frozen `Config`.

Knows nothing of tensors, files of a model or the command line, and imports no torch. Start with
schema.py, which defines the settings; loading.py reads them and writes them back as plain data.
"""
