"""The verbs on Spark DataFrames, and logs as a source of Spark: `import tokenflex.spark as tfs`.

The same verbs with the same arguments, columns and results as on one machine, for more sessions than it takes. Spark
divides, sorts, joins and counts; what is metering `tokenflex.Meter` and the verbs do inside of its tasks. It takes the
extra `spark`: `pip install 'tokenflex[spark]'`. See `docs/spark.md`.
"""

try:
    import pandas as pd  # noqa: F401 - Spark asks for it before it hands anything over
    import pyarrow as pa  # noqa: F401 - what it hands over
    import pyspark  # noqa: F401 - told of here, before modules that need it
except ImportError as error:
    raise ImportError(
        f"tokenflex.spark needs {error.name}: install the extra, pip install 'tokenflex[spark]'", name=error.name
    ) from error

from tokenflex.spark.charging import categorize, charge
from tokenflex.spark.counting import concurrency
from tokenflex.spark.doubles import double_charges
from tokenflex.spark.flexlm import FlexLM
from tokenflex.spark.problems import Problems

__all__ = ["FlexLM", "Problems", "categorize", "charge", "concurrency", "double_charges"]
