"""The catalog: every code says what `pair` says, an own file overrides, unknown codes are read by shape and told."""

from __future__ import annotations

import csv
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from catalog_from_facts import CATALOG, COLUMNS, catalog_rows

FACTS = Path(
    os.environ.get("TOKENFLEX_CATALOG_FACTS", Path(__file__).parents[2] / "shared" / "catalog" / "feature_codes.csv")
)
NOON = datetime(2026, 7, 13, 12, tzinfo=UTC)


def paired(features: list[str]) -> dict[str, tuple[str, str | None]]:
    """Product and version of each feature, as `pair` reads them."""
    times = [NOON + timedelta(minutes=row) for row in range(len(features))]
    events = pl.DataFrame(
        {"time": times, "kind": ["OUT"] * len(features), "feature": features, "user": "ana", "host": features}
    )
    sessions = tf.pair(events, problems=tf.Problems())
    names = sessions.select(pl.col("feature", "product", "version").cast(pl.String))
    return {feature: (product, version) for feature, product, version in names.iter_rows()}


def test_every_code_of_the_catalog_is_split_as_pair_splits_it() -> None:
    frame = tf.Catalog.default().frame
    assert frame.height == 1167
    by_pair = paired(frame["feature"].to_list())
    assert by_pair == {
        feature: (product, version)
        for feature, product, version in frame.select("feature", "product", "version").iter_rows()
    }


@settings(max_examples=50)
@given(
    st.lists(
        st.one_of(
            st.from_regex(r"[0-9]{4,6}[A-Z0-9_]{0,5}(_[0-9]{3,4}_0F|_T_F|_F|_0F|)", fullmatch=True),
            st.text("0123456789_TFé\nA ", min_size=1, max_size=12).filter(lambda text: text.strip() == text),
        ),
        min_size=1,
        max_size=12,
        unique=True,
    )
)
def test_any_feature_is_read_by_shape_as_pair_reads_it(features: list[str]) -> None:
    found = tf.Catalog(pl.DataFrame({"feature": ["x"]})).lookup(features, problems=tf.Problems())
    assert paired(features) == {
        feature: (product, version)
        for feature, product, version in found.select("feature", "product", "version").iter_rows()
    }


def test_the_shipped_catalog_is_made_of_the_facts() -> None:
    if not FACTS.exists():
        pytest.skip("the list of facts is not here")
    with FACTS.open(encoding="utf-8", newline="") as file:
        rows = catalog_rows(list(csv.DictReader(file)))
    with CATALOG.open(encoding="utf-8", newline="") as file:
        assert [tuple(row) for row in csv.reader(file)] == [COLUMNS, *rows]


def test_codes_are_unique_and_packages_stand_in_the_catalog() -> None:
    frame = tf.Catalog.default().frame
    assert frame["feature"].is_unique().all()
    assert frame.drop_nulls("package").join(frame, left_on="package", right_on="feature", how="anti").height == 0
    assert frame.filter(pl.col("version").is_null())["feature"].str.ends_with("_F").all()


def test_versions_whose_package_is_of_another_line_are_the_two_of_the_docs() -> None:
    frame = tf.Catalog.default().frame
    packages = frame.select("feature", line="product")
    odd = frame.join(packages, left_on="package", right_on="feature").filter(pl.col("line") != pl.col("product"))
    assert odd.select("product", "line").unique().sort("product").rows() == [("IMS5A", "IMS"), ("MOBPRO", "MB")]


def test_lookup_keeps_the_order_and_repeats() -> None:
    features = ["86063ACD_2014_0F", None, "65500ACAD_E_T_F", "86063ACD_2014_0F"]
    found = tf.Catalog.default().lookup(features)
    assert found["feature"].to_list() == features
    assert found["product"].to_list() == ["ACD", None, "ACAD_E", "ACD"]
    assert found["package"].to_list()[0] is None
    assert found["known"].to_list() == [True, None, True, True]


def test_unknown_features_are_read_by_shape_and_told_once() -> None:
    problems = tf.Problems()
    found = tf.Catalog.default().lookup(["99999ACD_2031_0F", "hfss_solve", "hfss_solve"], problems=problems)
    assert found.select("product", "name", "version", "known").rows() == [
        ("ACD", "Autodesk AutoCAD", "2031", False),
        ("hfss_solve", None, None, False),
        ("hfss_solve", None, None, False),
    ]
    assert problems.frame["code"].to_list() == ["unknown_feature"] * 2
    with pytest.warns(tf.TokenflexWarning, match="unknown_feature"):
        tf.Catalog.default().lookup(["hfss_solve"])


def test_an_own_file_adds_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "feature,product,name\n86063ACD_2014_0F,ACD-OLD,Old AutoCAD\n99999NEW_2031_0F,,New Product\n", encoding="utf-8"
    )
    catalog = tf.Catalog.read(path)
    assert len(catalog) == len(tf.Catalog.default()) + 1
    found = catalog.lookup(["86063ACD_2014_0F", "99999NEW_2031_0F"])
    assert found.select("product", "name", "version", "known").rows() == [
        ("ACD-OLD", "Old AutoCAD", "2014", True),
        ("NEW", "New Product", "2031", True),
    ]
    assert catalog.name("NEW") == "New Product"
    assert catalog.name("nothing") is None


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("code,product\nx,y\n", tf.MissingColumnError, "'feature' is missing"),
        ("feature\nx\nx\n", tf.ColumnValueError, "row 1: the feature stands twice"),
        ("feature,product\nx,y\n ,y\n", tf.ColumnValueError, "row 1: the feature is empty"),
        ("", tf.SourceError, "no table of feature codes"),
        ('feature\n"x\n', tf.SourceError, "no table of feature codes"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    path = tmp_path / "own.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=words):
        tf.Catalog.read(path)
    with pytest.raises(tf.SourceNotFoundError):
        tf.Catalog.read(tmp_path / "none.csv")


@pytest.mark.parametrize("features", ["86063ACD_2014_0F", 5, [1, 2]])
def test_features_have_to_be_several_texts(features: object) -> None:
    with pytest.raises(tf.ArgumentTypeError, match="features have to be"):
        tf.Catalog.default().lookup(features)  # type: ignore[arg-type]
