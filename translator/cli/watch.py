"""What `translate --check` and `--terms` count while they look at each result."""

import logging
from typing import TYPE_CHECKING, Any

from translator.config.errors import TranslatorError

if TYPE_CHECKING:
    from translator.translation.result import Translation
    from translator.translation.tally import Tally

log = logging.getLogger("translator")


class Watch:
    """Counts what must hold in each result, and reports it at the end.

    Args:
        check: whether to name each line in which something was lost, and to fail at the end.
        terms: whether to say which terms were used.
    """

    def __init__(self, check: bool, terms: bool):
        from translator.translation.tally import Tally

        self.check, self.terms = check, terms
        self.tally = Tally()
        self.wrong: list[str] = []  # what is said of lines

    def __call__(self, found: "Translation") -> None:
        wrong = self.tally.add(found)
        if wrong:
            self._name(f"Line {self.tally.lines}: {'; '.join(wrong)}.")

    def _name(self, said: str) -> None:
        self.wrong.append(said)
        if self.check:
            log.warning("%s", said)

    def state(self) -> dict[str, Any]:
        """What a resumed job needs to continue counting, as plain data."""
        return {"wrong": self.wrong, "tally": self.tally.state()}

    def resume(self, state: dict[str, Any]) -> None:
        """Continues from the `state` of an interrupted job."""
        self.tally.resume(state["tally"])
        for said in state["wrong"]:
            self._name(said)

    def report(self) -> None:
        """Reports as `report_tally`."""
        report_tally(self.tally, self.check, self.terms)


def report_tally(tally: "Tally", check: bool, terms: bool) -> None:
    """The last lines of a job: what was kept, and which terms were used.

    Raises:
        TranslatorError: `check` found something that was not kept.
    """
    if check:
        log.info(tally.said_kinds)
    if terms:
        log.info(tally.said_terms)
    if check and (n := tally.n_wrong):
        raise TranslatorError(
            f"{n:,} {'thing was' if n == 1 else 'things were'} not kept; the lines are named above."
        )
