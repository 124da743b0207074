"""The keeper of the views, on PostgreSQL."""

from projections.schema import STEP_COLUMNS, WORKFLOW_COLUMNS
from tests.unit.projections.conftest import Place
from tests.unit.projections.test_keeper import *  # noqa: F403 - each of its tests


def test_the_columns_are_those_of_the_tables(place: Place) -> None:  # type: ignore[no-redef]  # instead of it
    statement = (
        "SELECT column_name::text FROM information_schema.columns "
        "WHERE table_schema = current_schema AND table_name = ? ORDER BY ordinal_position"
    )
    with place.recorder.reading() as cursor:
        for table, columns in (("workflows", WORKFLOW_COLUMNS), ("steps", STEP_COLUMNS)):
            assert [name for (name,) in cursor.query(statement, (table,))] == list(columns)
