"""Writes what the vendor would write: usage exports of every kind and generation, from plain records."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import xlsxwriter

Row = Mapping[str, Any]

SESSION_COLUMNS = (
    "usageMonth",
    "usageDate",
    "contractYear",
    "productName",
    "productLineCode",
    "productVersion",
    "productFeatureCode",
    "userName",
    "machineName",
    "sessionStartDate",
    "sessionEndDate",
    "licenseServerTimeZoneOffset",
    "chargedItemID",
    "chargeCategory",
    "licenseServerName",
    "usageType",
    "usageCategory",
    *(f"customField{number}" for number in range(1, 11)),
    "tokensConsumed",
    "usageMinutes",
    "usageHours",
)
MANUAL_COLUMNS = ("transactionDate", "reasonType", "reasonComment", "tokenPool")
DAILY_COLUMNS = (
    "contractYear",
    "tokenPool",
    "usageCategory",
    "usageDate",
    "productLineCode",
    "productName",
    "tokensConsumed",
)
FLEX_2022 = (
    "team_alias",
    "day_used",
    "product_name",
    "offering_name",
    "version",
    "tokens_used",
    "usage_type",
    "access_option",
    "email",
    "hashed_autodesk_id",
)
FLEX_2024 = ("Day used", "Email", "Feature", "First name", "Last name", "Product", "Team", "Tokens used")
FLEX_2026 = ("team_name", "usage_date", "product_name", "feature_name", "tokens_used", "email", "hashed_autodesk_id")
FLEX_API = (
    "productName",
    "childProductName",
    "usageDate",
    "usageMonth",
    "version",
    "tokens",
    "emailAddress",
    "userName",
    "userId",
    "hashedUserId",
)

SESSION: Row = {
    "usageMonth": "2018-03-01",
    "usageDate": "2018-03-01",
    "contractYear": "1",
    "productName": "AutoCAD",
    "productLineCode": "ACD",
    "productVersion": "2018",
    "productFeatureCode": "85730ACD_2018_0F",
    "userName": "ana",
    "machineName": "PC-0007",
    "sessionStartDate": "2018-03-01T16:24:53",
    "sessionEndDate": "2018-03-01T17:24:53",
    "licenseServerTimeZoneOffset": "-8:00",
    "chargedItemID": "RX0000000001",
    "chargeCategory": "CHARGED",
    "licenseServerName": "lax-lic-01",
    "usageType": "Normal",
    "usageCategory": "DESKTOP_PRODUCT",
    "customField1": "Bridges",
    "tokensConsumed": "7",
    "usageMinutes": "60",
    "usageHours": "1",
}
DAILY: Row = {
    "contractYear": "1",
    "tokenPool": "CY",
    "usageCategory": "DESKTOP_PRODUCT",
    "usageDate": "2011-01-01 00:00:00",
    "productLineCode": "ACD",
    "productName": "AutoCAD",
    "tokensConsumed": "0",
}
FLEX: Row = {
    "team_alias": "Bridges",
    "day_used": "2022-05-04",
    "product_name": "AutoCAD",
    "offering_name": "AutoCAD - including specialized toolsets",
    "version": "2022",
    "tokens_used": "7",
    "usage_type": "Desktop",
    "access_option": "Flex",
    "email": "ana@firm.example",
    "hashed_autodesk_id": "0123456789abcdef0123456789abcdef",
}


def table(columns: Sequence[str], rows: Iterable[Row], *, separator: str = ",", trailing: bool = False) -> str:
    """A CSV; with `trailing` each row ends in a comma that the header does not have."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([*(row.get(column, "") for column in columns), *([""] if trailing else [])])
    return out.getvalue()


def sessions_csv(*rows: Row, columns: Sequence[str] = SESSION_COLUMNS) -> bytes:
    """A session-level export."""
    return table(columns, rows).encode()


def query_result(
    columns: Sequence[str], rows: Iterable[Row], *, status: str = "DONE", total: int | None = None
) -> bytes:
    """The answer to a query of the usage API."""
    listed = [[row.get(column) for column in columns] for row in rows]
    result = {"columns": list(columns), "rows": listed, "total": len(listed) if total is None else total}
    return json.dumps({"status": status, "result": result}).encode()


def workbook(sheets: Mapping[str, tuple[Sequence[str], Sequence[Row]]]) -> bytes:
    """A workbook: dates and numbers become cells of that type."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    days = book.add_format({"num_format": "yyyy-mm-dd"})
    for name, (columns, rows) in sheets.items():
        sheet = book.add_worksheet(name)
        sheet.write_row(0, 0, columns)
        for number, row in enumerate(rows, 1):
            for place, column in enumerate(columns):
                value = row.get(column)
                if isinstance(value, date):
                    sheet.write_datetime(number, place, datetime(value.year, value.month, value.day), days)  # noqa: DTZ001 - a cell has no zone
                elif isinstance(value, int | float | Decimal):
                    sheet.write_number(number, place, float(value))
                elif value is not None:
                    sheet.write_string(number, place, value)
    book.close()
    return out.getvalue()


def local(instant: datetime, zone: str) -> tuple[str, str, timedelta]:
    """What a clock in the zone shows, its offset as the vendor spells it, and the offset."""
    there = instant.astimezone(ZoneInfo(zone))
    offset = there.utcoffset() or timedelta(0)
    minutes = abs(offset) // timedelta(minutes=1)
    sign = "-" if offset < timedelta(0) else "+"
    return f"{there:%Y-%m-%dT%H:%M:%S}", f"{sign}{minutes // 60}:{minutes % 60:02}", offset
