"""The workbook and the folders of a report, read back: every table, real values, totals, and names that do no harm."""

from __future__ import annotations

import re
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import fastexcel
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from reported import EVIL, demo_report, evil_report
from tokenflex import content
from tokenflex.content import csv_of
from tokenflex.reporting import workbook
from tokenflex.reporting.contents import contents_of
from tokenflex.reporting.folder import write_folder
from tokenflex.reporting.workbook import CONTENTS, FRONT, HEAD, head_of

if TYPE_CHECKING:
    from pathlib import Path

    from tokenflex.demo import DemoFirm

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
SUBTOTAL = re.compile(r"SUBTOTAL\(109,([A-Z]+)(\d+):([A-Z]+)(\d+)\)")


@pytest.fixture(scope="module")
def whole(demo_firm: DemoFirm) -> tf.Report:
    return demo_report(demo_firm.folder)


@pytest.fixture(scope="module")
def book(whole: tf.Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("book") / "report.xlsx"
    whole.write(path)
    return path


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evil") / "evil.xlsx"
    evil_report().write(path)
    return path


@cache
def nothing() -> tf.Report:
    """A report of no sessions."""
    return tf.report(
        pl.DataFrame(schema={"user": pl.String, "product": pl.String, "start": tf.tables.TIME, "end": tf.tables.TIME}),
        rule=tf.FLEX,
        rates=tf.Rates({"ACD": 7}),
        chapters="provenance",
    )


def small(table: pl.DataFrame, name: str = "tokens_by_user") -> tf.Report:
    """A report with one table of our own."""
    section = tf.Section(name, "a title", name, "a note", sums=("tokens",) if "tokens" in table.columns else ())
    chapter = tf.Chapter("consumption", "What was used?", "much", (section,))
    return tf.Report(**{**vars(nothing()), "chapters": (chapter,), "tables": {name: table}})


def rows_of(path: Path, sheet: str, **options: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = pl.read_excel(
        path, sheet_name=sheet, has_header=False, drop_empty_rows=False, **options
    ).rows()
    return rows


@cache
def sheet_xml(path: Path) -> list[tuple[str, ET.Element]]:
    """Each sheet's name and XML."""
    names = fastexcel.read_excel(path).sheet_names
    with zipfile.ZipFile(path) as archive:
        return [
            (name, ET.fromstring(archive.read(f"xl/worksheets/sheet{place}.xml")))  # noqa: S314 - our own
            for place, name in enumerate(names, 1)
        ]


def test_there_is_a_sheet_for_each_table_with_all_of_its_rows(whole: tf.Report, book: Path) -> None:
    names = fastexcel.read_excel(book).sheet_names
    assert names == [FRONT, CONTENTS, *whole.tables, "cube"]
    for name, table in {**whole.tables, "cube": whole.cube}.items():
        rows = rows_of(book, name)
        assert len(rows) == HEAD + 1 + table.height, name
        assert [value for value in rows[HEAD] if value is not None] == [
            head_of(column, dtype) for column, dtype in table.schema.items()
        ], name


def test_values_come_back_as_what_they_are(whole: tf.Report, book: Path) -> None:
    table = whole.tables["charge_ledger"]
    read = pl.read_excel(book, sheet_name="charge_ledger", read_options={"header_row": HEAD})
    assert read["tokens"].cast(pl.Decimal(38, 4)).to_list() == table["tokens"].to_list()
    assert read["user"].to_list() == table["user"].cast(pl.String).to_list()
    assert read.schema["usage_date"] in (pl.Date, pl.Datetime("ms"))
    assert read["usage_date"].cast(pl.Date).to_list() == table["usage_date"].to_list()
    seen = read["charged_at (UTC)"].dt.replace_time_zone("UTC").dt.cast_time_unit("us")
    assert ((seen - table["charged_at"]).abs() < timedelta(milliseconds=2)).all()


def test_totals_are_formulas_over_all_rows_whose_value_is_the_sum(whole: tf.Report, book: Path) -> None:
    sums = {section.table: section.sums for chapter in whole.chapters for section in chapter.sections}
    checked = 0
    for name, sheet in sheet_xml(book):
        formulas = {cell.get("r", ""): cell for cell in sheet.iter(f"{MAIN}c") if cell.find(f"{MAIN}f") is not None}
        table = whole.cube if name == "cube" else whole.tables.get(name)
        if table is None:
            assert not formulas
            continue
        wanted = ("charges", "tokens") if name == "cube" else sums[name]
        assert len(formulas) == (len(wanted) if table.height else 0), name
        for place, cell in formulas.items():
            match = SUBTOTAL.fullmatch(cell.findtext(f"{MAIN}f") or "")
            assert match is not None
            column, first, same, last = match.groups()
            assert place == f"{column}{HEAD}"
            assert (column, int(first), int(last)) == (same, HEAD + 2, HEAD + 1 + table.height)
            summed = table.to_series(letters_to_place(column))
            assert summed.name in wanted
            assert float(cell.findtext(f"{MAIN}v") or "nan") == float(summed.sum()), (name, summed.name)
            checked += 1
    assert checked > 40


def letters_to_place(letters: str) -> int:
    place = 0
    for letter in letters:
        place = place * 26 + ord(letter) - ord("A") + 1
    return place - 1


@given(st.integers(0, 2000))
def test_letters_of_columns_are_those_of_excel(place: int) -> None:
    assert letters_to_place(workbook._letter(place)) == place


def test_sheets_have_filters_and_frozen_headers(book: Path) -> None:
    for name, sheet in sheet_xml(book):
        pane = sheet.find(f".//{MAIN}pane")
        if name == FRONT:
            continue
        assert pane is not None, name
        assert pane.get("state") == "frozen"
        if name != CONTENTS:
            assert pane.get("ySplit") == str(HEAD + 1)
            assert sheet.find(f"{MAIN}autoFilter") is not None, name


def test_the_first_sheet_has_the_answers_and_the_contents_link_to_each_sheet(whole: tf.Report, book: Path) -> None:
    front = {str(value) for row in rows_of(book, FRONT) for value in row if value is not None}
    assert set(whole.answers["answer"]) <= front
    assert set(whole.actions["action"]) <= front
    (links,) = (sheet for name, sheet in sheet_xml(book) if name == CONTENTS)
    targets = {link.get("location") for link in links.iter(f"{MAIN}hyperlink")}
    assert targets == {f"'{name}'!A1" for name in (*whole.tables, "cube")}
    told = {str(value) for row in rows_of(book, CONTENTS) for value in row if value is not None}
    assert set(contents_of(whole)["missing"].drop_nulls()) <= told


# Names that do harm.


def test_no_name_becomes_a_formula_a_link_or_markup(evil: Path) -> None:
    for name, sheet in sheet_xml(evil):
        for formula in sheet.iter(f"{MAIN}f"):
            assert SUBTOTAL.fullmatch(formula.text or ""), name
        for link in sheet.iter(f"{MAIN}hyperlink"):
            assert (link.get("location") or "").endswith("!A1")
            assert link.get(f"{MAIN}id") is None
    with zipfile.ZipFile(evil) as archive:
        linked = [name for name in archive.namelist() if "worksheets/_rels" in name]
        assert not linked, "a link to somewhere else"


def test_hostile_names_come_back_as_text(evil: Path) -> None:
    read = pl.read_excel(evil, sheet_name="charge_ledger", read_options={"header_row": HEAD}, infer_schema_length=0)
    users = set(read["user"])
    for name in EVIL:
        if len(name) < 30_000:
            pictured = "".join(chr(0x2400 + ord(letter)) if ord(letter) < 32 else letter for letter in name)
            assert pictured in users, name
    cut = [name for name in users if name.startswith("zzz")]
    assert all(len(name) == 32_767 and name.endswith("…") for name in cut)
    told = [str(value) for row in rows_of(evil, FRONT) for value in row if value is not None]
    assert any("40,000 characters was cut" in text for text in told)


@settings(max_examples=25)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_any_text_makes_a_workbook_that_can_be_read(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("text") / "any.xlsx"
    small(pl.DataFrame({"user": names, "tokens": [Decimal(7)] * len(names)})).write(path)
    read = pl.read_excel(path, sheet_name="tokens_by_user", read_options={"header_row": HEAD}, infer_schema_length=0)
    assert read.height == len(names)
    for found, name in zip(read["user"], names, strict=True):
        assert (found or "") == name.translate(workbook._CONTROLS)


def test_values_that_excel_cannot_hold_are_text() -> None:
    table = pl.DataFrame(
        {
            "handle": pl.Series([2**63, 7], dtype=pl.UInt64),
            "mean": [float("nan"), float("inf")],
            "date": [date(1800, 1, 1), date(2026, 1, 1)],
            "gap": [timedelta(hours=-1), timedelta(minutes=90)],
            "causes": [["a", "=b"], []],
            "at": [datetime(1700, 1, 1, tzinfo=UTC), None],
        }
    )
    rows = written(small(table))
    assert rows[0][:6] == ("9223372036854775808", "nan", "1800-01-01", "-1", "a, =b", "1700-01-01T00:00:00+00:00")
    assert rows[1][:4] == ("7", "inf", "2026-01-01 00:00:00", "1.5")


def written(report: tf.Report, sheet: str = "tokens_by_user") -> list[tuple[Any, ...]]:
    """The rows of a sheet as text."""
    import tempfile  # noqa: PLC0415 - of this alone
    from pathlib import Path  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.xlsx"
        report.write(path)
        return pl.read_excel(
            path, sheet_name=sheet, read_options={"header_row": HEAD, "dtypes": "string"}, drop_empty_rows=False
        ).rows()


def test_more_rows_than_a_sheet_has_go_on_in_further_sheets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(workbook, "MOST_ROWS", HEAD + 1 + 4)
    name = "vendor_double_charges_by_cause"
    path = tmp_path / "split.xlsx"
    small(pl.DataFrame({"user": [str(row) for row in range(10)], "tokens": [1] * 10}), name).write(path)
    names = [each for each in fastexcel.read_excel(path).sheet_names if each.startswith("vendor")]
    assert names == [name, f"{name[:27]} (2)", f"{name[:27]} (3)"]
    assert all(len(each) <= 31 for each in names)
    values = [row[0] for sheet in names for row in rows_of(path, sheet)[HEAD + 1 :]]
    assert [int(value) for value in values] == list(range(10))
    assert rows_of(path, names[1])[1][0] == "a note Rows 5 to 8 of 10."
    contents = [row for row in rows_of(path, CONTENTS) if row[1] in names]
    assert [int(row[3]) for row in contents] == [4, 4, 2]


# Folders.


@pytest.mark.parametrize("written_as", ["parquet", "csv"])
def test_a_folder_has_each_table_in_a_file(whole: tf.Report, tmp_path: Path, written_as: Any) -> None:
    to = tmp_path / "folder"
    whole.write(to, format=written_as)
    names = {path.name for path in to.iterdir()}
    assert names == {f"{name}.{written_as}" for name in ("answers", "actions", "contents", "cube", *whole.tables)}


def test_parquet_is_exact(tmp_path: Path) -> None:
    report = evil_report(chapters=["consumption", "charges"])
    report.write(tmp_path / "exact")
    for name, table in report.tables.items():
        read = pl.read_parquet(tmp_path / "exact" / f"{name}.parquet")
        assert read.with_columns(pl.selectors.categorical().cast(pl.String)).equals(
            table.with_columns(pl.selectors.categorical().cast(pl.String))
        ), name


def test_no_cell_of_a_csv_is_a_formula_and_numbers_stay_numbers(tmp_path: Path) -> None:
    report = evil_report(chapters=["consumption", "charges"])
    report.write(tmp_path / "guarded", format="csv")
    for path in (tmp_path / "guarded").iterdir():
        read = pl.read_csv(path, infer_schema=False)
        for column in read:
            for cell in column.drop_nulls():
                if not re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", cell):
                    assert not cell.lstrip().startswith(("=", "+", "-", "@")), (path.name, cell)
                    assert not cell.startswith(("\t", "\r"))


@given(st.text(max_size=12))
def test_what_a_program_reads_again_is_as_it_was(name: str) -> None:
    table = pl.DataFrame({"user": [name, "x"], "tokens": [Decimal(-1), Decimal(2)]})
    assert pl.read_csv(csv_of(table), schema_overrides={"user": pl.String, "tokens": pl.String})["user"][0] == name
    guarded = pl.read_csv(csv_of(table, is_guarded=True), schema_overrides={"user": pl.String, "tokens": pl.String})
    assert guarded["user"][0] in (name, f"'{name}")
    assert Decimal(guarded["tokens"][0]) == -1


# Files.


def test_a_failure_leaves_nothing_and_what_was_there_stays(
    whole: tf.Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "report.xlsx"
    path.write_bytes(b"before")
    monkeypatch.setattr(workbook, "contents_of", None)
    with pytest.raises(TypeError):
        small(pl.DataFrame({"user": ["ana"]})).write(path)
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["report.xlsx"]
    with pytest.raises(tf.SourceError):
        whole.write(tmp_path / "no" / "report.xlsx")


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    report = small(pl.DataFrame({"user": ["ana"]}))
    (tmp_path / "july").mkdir()
    with pytest.raises(tf.ArgumentError, match="there already"):
        write_folder(report, tmp_path / "july", "csv")
    with pytest.raises(tf.SourceError):
        write_folder(report, tmp_path / "no" / "july", "csv")


@pytest.mark.parametrize(
    ("name", "written_as"),
    [("a.docx", None), ("a.csv", None), ("a.parquet", None), ("a.xlsx", "csv"), ("a", "json"), ("a.tar.gz", "csv")],
)
def test_other_endings_are_refused(tmp_path: Path, name: str, written_as: Any) -> None:
    with pytest.raises(tf.ArgumentError):
        small(pl.DataFrame({"user": ["ana"]})).write(tmp_path / name, format=written_as)
    assert list(tmp_path.iterdir()) == []


def test_without_xlsxwriter_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xlsxwriter", None)
    with pytest.raises(tf.ArgumentError, match=r"pip install 'tokenflex\[report\]'"):
        small(pl.DataFrame({"user": ["ana"]})).write(tmp_path / "a.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_bytes_of_whole_files_are_there_at_once(tmp_path: Path) -> None:
    with content.whole_file(tmp_path / "a") as file:
        file.write(b"1")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"1"
