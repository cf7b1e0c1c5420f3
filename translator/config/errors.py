"""What goes wrong in a way that the user can put right."""

from collections.abc import Iterable


class TranslatorError(Exception):
    """A failure that the user can fix: one line that says what is wrong and what to do."""


class SettingError(TranslatorError):
    """A setting has a value that it cannot have."""

    def __init__(self, section: str, key: str, problem: str):
        super().__init__(f"{section}.{key} {problem}.")
        self.key, self.problem = key, problem


class Interrupted(KeyboardInterrupt):
    """The user stopped the run; everything is saved."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean "x"?` if one of the known words looks like this one, else nothing."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""
