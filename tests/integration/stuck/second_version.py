"""The second version of a definition, by the activity of the first."""

from handrail import Definition, Step
from tests.integration.stuck.first_version import fill_in

SECOND = Definition("definition missing", version="2", steps=[Step("fill_in", fill_in), Step("again", fill_in)])
