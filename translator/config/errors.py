"""What goes wrong in a way that the user can put right."""


class TranslatorError(Exception):
    """A failure that the user can mend: one line that says what is wrong and what to do."""


class Interrupted(KeyboardInterrupt):
    """The user stopped the run; everything is saved."""
