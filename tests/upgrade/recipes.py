"""What the workflows of the sample ran: open commands of theirs have a hundred years, so that no test runs out of them.

A command of the sample expires at a date that its version wrote, and a step that has passed it is timed out instead of
run. With the default of one day the sample would serve for a day.
"""

from dataclasses import replace
from datetime import timedelta

from handrail import SignalWait, Step
from tests.integration.recipes import ask, conclude, pay, put, recipe, say, wait_for_word

LASTING = timedelta(days=36_500)

speak = replace(say, schedule_to_finish=LASTING)
wait = replace(wait_for_word, schedule_to_finish=LASTING)

DEFINITIONS = [
    recipe("greet", Step("say", speak), artifact=conclude),
    recipe("unknown", Step("pay", pay), Step("say", speak)),
    recipe("asking", Step("put", put), Step("big", ask), Step("say", speak)),
    recipe("signal", Step("letter", wait_signal=SignalWait(name="letter", correlation="box-1")), Step("say", speak)),
    recipe("pipe", Step("wait", wait), Step("say", speak)),
]
