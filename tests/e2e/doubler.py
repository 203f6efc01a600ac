# A cleaner in Python, against the bare contract: each number becomes a row with its double.
import json

from wit_world.exports import Clean as CleanWorld
from wit_world.exports import Lifecycle as LifecycleWorld
from wit_world.exports import clean, lifecycle
from wit_world.imports import columns, log


class Lifecycle(LifecycleWorld):
    def describe(self):
        number = columns.ColumnType_Scalar(columns.ScalarType.INT64)
        return lifecycle.Descriptor(
            name="doubler",
            version="1.0.0",
            input=[columns.InputField(name="n", pointer="/n", type=number, nullable=False)],
            output=[columns.Field(name="twice", type=number, nullable=False)],
            config_schema="",
        )

    def configure(self, config):
        json.loads(config)


class Clean(CleanWorld):
    def clean(self, documents):
        numbers = documents.columns[0].values.value
        log.write(log.Level.INFO, f"doubling {len(numbers)}")
        twice = columns.Column(validity=None, values=columns.Values_Int64([2 * number for number in numbers]))
        return clean.Cleaned(
            rows=columns.Batch(rows=len(numbers), columns=[twice]),
            row_of=list(range(len(numbers))),
            rejects=[],
            skips=[],
        )
