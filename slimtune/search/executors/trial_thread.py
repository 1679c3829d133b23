"""Runs a trial in a thread of its own, so that it can wait at each rung for its judge."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from slimtune.search.trial.attempt import Judge
from slimtune.search.trial.spec import Outcome

ENDED = "ended by who runs it"
_PATIENCE_SECONDS = 60.0


class TrialThread:
    """Runs a trial from one question to its judge to the next.

    Ray Tune asks a worker for one result after another, while a trial is one function call that
    asks its judge in between. The thread turns the one into the other. Between two calls of
    `advance` the trial waits, so it computes nothing that a judge may make useless.

    Args:
        run: the trial. It is given a judge, calls it in the trial's thread, and returns soon
            after the judge has given a reason to end.

    Attributes:
        over: whether the trial has returned; then the last outcome is its result.
    """

    def __init__(self, run: Callable[[Judge], Outcome]) -> None:
        self._run = run
        self._questions: SimpleQueue[Outcome | BaseException] = SimpleQueue()
        self._answers: SimpleQueue[str] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.over = False

    def advance(self) -> Outcome:
        """Let the trial run, and return its state when it next asks its judge, or its result."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._answers.put("")
        outcome = self._questions.get()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def end(self) -> None:
        """End a trial that waits for its judge, and wait until it has returned.

        Raises:
            TimeoutError: it continues all the same.
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
        except BaseException as error:  # otherwise `advance` would wait for ever
            outcome = error
        self.over = True
        self._questions.put(outcome)

    def _ask(self, outcome: Outcome) -> str:
        self._questions.put(outcome)
        return self._answers.get()
