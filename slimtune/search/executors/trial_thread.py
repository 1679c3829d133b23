"""A trial in a thread of its own, so that whoever runs it can be asked in between."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from slimtune.search.trial.attempt import Judge
from slimtune.search.trial.spec import Outcome

ENDED = "ended by who runs it"
_PATIENCE_SECONDS = 60.0


class TrialThread:
    """Runs a trial from one question of its judge to the next.

    Between two calls of `advance` the trial waits: it computes nothing that may be in vain.

    Args:
        run: the trial; it is given its judge, asks it in its own thread, and returns soon once
            that gives a reason to end.

    Attributes:
        over: whether the trial has returned; then the last outcome is the final one.
    """

    def __init__(self, run: Callable[[Judge], Outcome]) -> None:
        self._run = run
        self._questions: SimpleQueue[Outcome | BaseException] = SimpleQueue()
        self._answers: SimpleQueue[str] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.over = False

    def advance(self) -> Outcome:
        """Let the trial go on, and return how it stands when it next asks, or what it made."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._answers.put("")
        outcome = self._questions.get()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def end(self) -> None:
        """End a trial that waits for an answer, and wait for it to return.

        Raises:
            TimeoutError: it goes on nevertheless.
        """
        if self._thread.ident is None or self.over:
            return
        self._answers.put(ENDED)
        self._thread.join(_PATIENCE_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError("a trial that its judge has ended must return, but goes on")

    def _work(self) -> None:
        try:
            outcome: Outcome | BaseException = self._run(self._ask)
        except BaseException as error:  # or whoever waits would wait for ever
            outcome = error
        self.over = True
        self._questions.put(outcome)

    def _ask(self, outcome: Outcome) -> str:
        self._questions.put(outcome)
        return self._answers.get()
