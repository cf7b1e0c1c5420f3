"""`python -m translator` is the `translator` command."""

from translator.cli.main import main

main()
