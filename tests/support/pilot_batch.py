"""The tests of the pilot, of what a bench must see, on the bench that sleeps while a job runs."""

from __future__ import annotations

from tb.batch.bench import batch_test
from tb.run.block import tests_of
from tests.support import pilot

PARAMETER_SETS = pilot.PARAMETER_SETS
build = pilot.build
for _name in tests_of(pilot):
    globals()[_name] = batch_test(getattr(pilot, _name).func.__wrapped__,
                                  quota=float(_name == "random_values_under_stalls"))
