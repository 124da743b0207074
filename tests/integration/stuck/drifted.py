"""The same definition after somebody changed it, and left its version as it was."""

from handrail import Definition, Step
from tests.integration.stuck.agreed import write

DRIFTED = Definition("replay mismatch", steps=[Step("write", write), Step("sign", write)])
