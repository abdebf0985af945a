"""The catalog: which product line, name, version and package a feature code stands for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import (
    ArgumentTypeError,
    ColumnValueError,
    MissingColumnError,
    SourceError,
    SourceNotFoundError,
)
from tokenflex.problems import Problems, report

if TYPE_CHECKING:
    import os


_VERSION: Final = r"(?s)^[0-9]{5}(.+)_([0-9]{4})_0F$"
_PACKAGE: Final = r"(?s)^[0-9]{5}(.+?)(?:_T)?_F$"
_NO_LINE: Final = r"^[0-9]{5}_T_F$"
"""The shapes of the vendor's codes, as `pair` reads them."""


class Catalog:
    """What feature codes stand for. The shipped one is `Catalog.default()`.

    Args:
        rows: A table with `feature` and, where they are known, `product`, `name`, `version`, `package` and `source`,
            all text; a product that is missing is read from the code's shape.

    Attributes:
        frame: One row for each feature code, see `tables.CATALOG`.

    Raises:
        MissingColumnError: There is no column `feature`.
        ColumnValueError: A feature is empty or stands twice; `row` says where.

    Example:
        >>> import tokenflex as tf
        >>> catalog = tf.Catalog.default()
        >>> catalog.lookup(["866333DSMAX_2017_0F"]).select("product", "name", "version").row(0)
        ('3DSMAX', 'Autodesk 3ds Max', '2017')
        >>> catalog.name("ACD")
        'Autodesk AutoCAD'
    """

    @refuses_clearly
    def __init__(self, rows: AnyTable) -> None:
        self.frame = _checked(rows)
        newest = self.frame.drop_nulls("name").sort("version", nulls_last=False, maintain_order=True)
        self._names = dict(newest.select("product", "name").iter_rows())

    @classmethod
    def default(cls) -> Catalog:
        """The shipped catalog: the vendor's codes of the versions 2014 to 2019 and of their packages."""
        return _default()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Catalog:
        """The shipped catalog with the rows of a file added; where both have a feature, the file's row counts.

        Args:
            path: A CSV with the column `feature` and any of `product`, `name`, `version`, `package`, `source`.

        Raises:
            SourceNotFoundError: There is no such file.
            SourceError: The file cannot be read as a table.
            MissingColumnError, ColumnValueError: As for `Catalog`.
        """
        try:
            own = cls(pl.read_csv(Path(path), infer_schema=False))
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"there is no catalog file {path}", location=str(path)) from error
        except (pl.exceptions.PolarsError, OSError) as error:
            raise SourceError(f"{path} is no table of feature codes: {error}", location=str(path)) from error
        shipped = cls.default().frame.join(own.frame, on="feature", how="anti")
        return cls(pl.concat([shipped, own.frame]))

    def name(self, product: str) -> str | None:
        """The name of a product line, of its newest version, or `None` if it is not known."""
        return self._names.get(product)

    def lookup(self, features: Iterable[str | None], *, problems: Problems | None = None) -> pl.DataFrame:
        """What each of some feature codes stands for.

        A code that the catalog does not have is read by its shape, as `pair` does: five digits, the product line, then
        `_YYYY_0F` for a version, `_F` or `_T_F` for a package. Any other feature is a product of its own.

        Args:
            features: Feature codes, in any order, repeated or not.
            problems: Collects the codes that the catalog does not have (`unknown_feature`), each once; without it, a
                `TokenflexWarning` tells of them.

        Returns:
            A row for each feature in the order given: `feature`, `product`, `name`, `version`, `package` (text) and
            `known`, whether the catalog has the code.

        Raises:
            ArgumentTypeError: The features are no several texts.

        Example:
            >>> import tokenflex as tf
            >>> problems = tf.Problems()
            >>> found = tf.Catalog.default().lookup(["87545ACD_2022_0F"], problems=problems)
            >>> found.row(0)
            ('87545ACD_2022_0F', 'ACD', 'Autodesk AutoCAD', '2022', None, False)
            >>> problems.frame["code"].to_list()
            ['unknown_feature']
        """
        asked = _features(features)
        found = self.complete(asked.unique(maintain_order=True).drop_nulls())
        report(unknown(found), problems, "lookup")
        return asked.to_frame().join(found, on="feature", how="left", maintain_order="left")

    def complete(self, features: pl.Series) -> pl.DataFrame:
        """The same for features that differ from one another, without a word on unknown ones."""
        names = pl.DataFrame(
            {"product": list(self._names), "line_name": list(self._names.values())},
            schema={"product": pl.String, "line_name": pl.String},
        )
        own = self.frame.select("feature", "product", "name", "version", "package", known=True)
        return (
            features.to_frame("feature")
            .join(own, on="feature", how="left", maintain_order="left")
            .with_columns(
                product=pl.coalesce("product", _product("feature")),
                version=pl.when("known").then("version").otherwise(pl.col("feature").str.extract(_VERSION, 2)),
                known=pl.col("known").fill_null(value=False),
            )
            .join(names, on="product", how="left", maintain_order="left")
            .with_columns(name=pl.coalesce("name", "line_name"))
            .select("feature", "product", "name", "version", "package", "known")
        )

    def __len__(self) -> int:
        return self.frame.height

    def __repr__(self) -> str:
        return f"<Catalog of {len(self):,} feature codes, {self.frame['product'].n_unique()} product lines>"


def unknown(found: pl.DataFrame) -> pl.DataFrame:
    """A problem for each feature of a looked-up table that the catalog does not have."""
    return found.filter(~pl.col("known")).select(
        source=pl.lit("features"),
        location=pl.lit(None, dtype=pl.UInt64),
        code=pl.lit("unknown_feature"),
        message=pl.format("feature {} is not in the catalog: by its shape taken for product {}", "feature", "product"),
    )


@cache
def _default() -> Catalog:
    with resources.as_file(resources.files("tokenflex") / "data" / "catalog.csv") as path:
        return Catalog(pl.read_csv(path, infer_schema=False))


def product_line(column: str) -> pl.Expr:
    """The product line in a column of feature codes; null where a code has no shape of the vendor's."""
    feature = pl.col(column).cast(pl.String)
    of_package = pl.when(~feature.str.ends_with("_0F")).then(feature.str.extract(_PACKAGE, 1))
    return pl.coalesce(feature.str.extract(_VERSION, 1), pl.when(~feature.str.contains(_NO_LINE)).then(of_package))


def _product(column: str) -> pl.Expr:
    """The product line in a feature code, or the feature itself."""
    return pl.coalesce(product_line(column), column)


def _features(features: object) -> pl.Series:
    if isinstance(features, str | bytes) or not isinstance(features, Iterable):
        raise ArgumentTypeError(
            f"features have to be several texts, such as a list or a column, not {type(features).__name__}",
            location="features",
        )
    try:
        values: Any = features if isinstance(features, pl.Series) else list(features)
        series = pl.Series("feature", values, strict=True).rename("feature")
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise ArgumentTypeError(f"features have to be text: {error}", location="features") from error
    if not isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum | pl.Null):
        raise ArgumentTypeError(f"features have to be text, not {series.dtype}", location="features")
    return series.cast(pl.String)


def _checked(rows: AnyTable) -> pl.DataFrame:
    frame = frame_of(rows)
    if "feature" not in frame.columns:
        raise MissingColumnError(
            f"column 'feature' is missing; the catalog has: {', '.join(frame.columns)}", column="feature"
        )
    text = [
        pl.col(name).cast(pl.String).str.strip_chars().replace("", None) if name in frame.columns else pl.lit(None)
        for name in tables.CATALOG
    ]
    frame = frame.select(
        expression.cast(pl.String).alias(name) for name, expression in zip(tables.CATALOG, text, strict=True)
    )
    for message, bad in (
        ("the feature is empty", frame["feature"].is_null()),
        ("the feature stands twice: keep one row", ~frame["feature"].is_first_distinct()),
    ):
        if bad.any():
            row = bad.arg_max() or 0
            raise ColumnValueError(f"catalog, row {row}: {message}", column="feature", row=row)
    shaped = pl.coalesce("version", pl.col("feature").str.extract(_VERSION, 2))
    return frame.with_columns(product=pl.coalesce("product", _product("feature")), version=shaped)
