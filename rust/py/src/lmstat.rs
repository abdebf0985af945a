//! `tokenflex.read_lmstat`.

use std::sync::Arc;

use arrow_array::BooleanArray;
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::types::{Int64Type, UInt8Type, UInt32Type, UInt64Type};
use pyo3::prelude::*;
use tokenflex_core::intern::NONE;
use tokenflex_core::lmstat::{self, Checkout, NO_TIME, Options, Series, Snapshot};

use crate::arrow::{Columns, Table};
use crate::error::guarded;
use crate::pair::FeatureColumns;
use crate::read::{ReadOptions, files_table, problems_table, run};

/// Snapshots, features, check-outs, reservations, sessions, problems, files.
type SeriesTables = (Table, Table, Table, Table, Table, Table, Table);

/// Reads outputs of `lmstat -a`.
#[pyfunction]
#[pyo3(signature = (options, *, progress))]
pub fn read_lmstat(
    py: Python<'_>,
    options: ReadOptions,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<SeriesTables> {
    guarded(py, || {
        let series = run(py, options, progress, |inputs, settings, progress| {
            let options = Options { timezone: settings.timezone, server: settings.server, encoding: settings.encoding };
            lmstat::read(inputs, &options, progress)
        })?;
        Ok((
            snapshots_table(&series),
            features_table(&series),
            checkouts_table(&series),
            reservations_table(&series),
            sessions_table(&series),
            problems_table(&series.problems),
            files_table(&series.files),
        ))
    })
}

fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// Server and time of the rows' snapshots.
fn placed<R>(series: &Series, rows: &[R], snapshot: impl Fn(&R) -> u32) -> Columns {
    let of = |row: &R| &series.snapshots[snapshot(row) as usize];
    Columns::default().names("server", column(rows, |row| of(row).server), &series.names.server, rows.len()).times(
        "time",
        column(rows, |row| of(row).time),
        Some(NO_TIME),
    )
}

/// File and line of the rows.
fn located<R>(
    columns: Columns,
    series: &Series,
    rows: &[R],
    snapshot: impl Fn(&R) -> u32,
    line: impl Fn(&R) -> u32,
) -> Table {
    let file = column(rows, |row| series.snapshots[snapshot(row) as usize].file);
    columns
        .names("file", file, &series.names.file, rows.len())
        .numbers::<UInt32Type>("line", column(rows, line), None)
        .finish()
}

fn snapshots_table(series: &Series) -> Table {
    let (rows, names) = (&series.snapshots, &series.names);
    let mut daemons = ListBuilder::new(StringBuilder::new());
    for row in rows {
        daemons.append_value(row.daemons.iter().map(Some));
    }
    let text = |value: fn(&Snapshot) -> Option<&str>| {
        Arc::new(rows.iter().map(value).collect::<arrow_array::LargeStringArray>())
    };
    Columns::default()
        .names("server", column(rows, |row| row.server), &names.server, rows.len())
        .times("time", column(rows, |row| row.time), Some(NO_TIME))
        .numbers::<UInt8Type>("status", column(rows, |row| row.status as u8), None)
        .array("message", text(|row| row.message.as_deref()))
        .array("version", text(|row| row.version.as_deref()))
        .array("daemons", Arc::new(daemons.finish()))
        .numbers::<UInt32Type>("features", column(rows, |row| row.features), None)
        .numbers::<UInt32Type>("checkouts", column(rows, |row| row.checkouts), None)
        .names("file", column(rows, |row| row.file), &names.file, rows.len())
        .numbers::<UInt32Type>("line", column(rows, |row| row.line), None)
        .finish()
}

fn features_table(series: &Series) -> Table {
    let (rows, names) = (&series.features, &series.names);
    let count = rows.len();
    let is_uncounted = BooleanArray::from(column(rows, |row| row.is_uncounted));
    let is_complete = BooleanArray::from(column(rows, |row| row.is_complete));
    let columns = placed(series, rows, |row| row.snapshot)
        .names("feature", column(rows, |row| row.feature), &names.feature, count)
        .numbers::<UInt32Type>("issued", column(rows, |row| row.issued), Some(NONE))
        .numbers::<UInt32Type>("in_use", column(rows, |row| row.in_use), Some(NONE))
        .array("is_uncounted", Arc::new(is_uncounted))
        .array("is_complete", Arc::new(is_complete))
        .names("version", column(rows, |row| row.version), &names.version, count)
        .names("vendor", column(rows, |row| row.vendor), &names.text, count)
        .names("expiry", column(rows, |row| row.expiry), &names.text, count)
        .names("message", column(rows, |row| row.message), &names.text, count);
    located(columns, series, rows, |row| row.snapshot, |row| row.line)
}

fn checkouts_table(series: &Series) -> Table {
    let (rows, names) = (&series.checkouts, &series.names);
    let count = rows.len();
    let is_queued = BooleanArray::from(column(rows, |row| row.is_queued));
    let columns = placed(series, rows, |row| row.snapshot)
        .names("feature", column(rows, |row| row.feature), &names.feature, count)
        .names("user", column(rows, |row| row.user), &names.user, count)
        .names("host", column(rows, |row| row.host), &names.host, count)
        .names("display", column(rows, |row| row.display), &names.display, count)
        .names("version", column(rows, |row| row.version), &names.version, count)
        .names("server_host", column(rows, |row| row.server_host), &names.server_host, count)
        .numbers::<UInt32Type>("port", column(rows, |row| row.port), Some(NONE))
        .numbers::<UInt64Type>("handle", column(rows, |row| row.handle), Some(u64::MAX))
        .times("start", column(rows, |row| row.start), Some(NO_TIME))
        .numbers::<UInt32Type>("licenses", column(rows, |row| row.licenses), None)
        .numbers::<UInt64Type>("linger", column(rows, |row| row.linger), Some(u64::MAX))
        .numbers::<UInt64Type>("pid", column(rows, |row| row.pid), Some(u64::MAX))
        .array("is_queued", Arc::new(is_queued));
    located(columns, series, rows, |row| row.snapshot, |row| row.line)
}

fn reservations_table(series: &Series) -> Table {
    let (rows, names) = (&series.reservations, &series.names);
    let count = rows.len();
    let columns = placed(series, rows, |row| row.snapshot)
        .names("feature", column(rows, |row| row.feature), &names.feature, count)
        .numbers::<UInt32Type>("licenses", column(rows, |row| row.licenses), None)
        .names("kind", column(rows, |row| row.kind), &names.text, count)
        .names("name", column(rows, |row| row.name), &names.user, count)
        .names("server_host", column(rows, |row| row.server_host), &names.server_host, count)
        .numbers::<UInt32Type>("port", column(rows, |row| row.port), Some(NONE));
    located(columns, series, rows, |row| row.snapshot, |row| row.line)
}

fn sessions_table(series: &Series) -> Table {
    let (rows, names) = (&series.sessions, &series.names);
    let count = rows.len();
    let of = |value: fn(&Checkout) -> u32| -> Vec<u32> {
        column(rows, |row| value(&series.checkouts[row.checkout as usize]))
    };
    let snapshot_of = |checkout: u32| series.checkouts[checkout as usize].snapshot;
    let server = column(rows, |row| series.snapshots[snapshot_of(row.checkout) as usize].server);
    let feature = of(|row| row.feature);
    let FeatureColumns { product, version, products, versions } = FeatureColumns::of(&feature, &names.feature);
    let is_open = BooleanArray::from(column(rows, |row| row.end_latest == NO_TIME));
    let columns = Columns::default()
        .names("server", server, &names.server, count)
        .names("user", of(|row| row.user), &names.user, count)
        .names("host", of(|row| row.host), &names.host, count)
        .names("feature", feature, &names.feature, count)
        .names("product", product, &products, count)
        .names("version", version, &versions, count)
        .times("start", column(rows, |row| row.start), None)
        .times("end", column(rows, |row| row.end), None)
        .times("end_latest", column(rows, |row| row.end_latest), Some(NO_TIME))
        .numbers::<Int64Type>("start_error", column(rows, |row| row.start_error), Some(NO_TIME))
        .numbers::<UInt32Type>("seen", column(rows, |row| row.seen), None)
        .numbers::<UInt32Type>("licenses", column(rows, |row| row.licenses), None)
        .array("is_open", Arc::new(is_open))
        .names("display", of(|row| row.display), &names.display, count)
        .numbers::<UInt64Type>(
            "handle",
            column(rows, |row| series.checkouts[row.checkout as usize].handle),
            Some(u64::MAX),
        );
    let line = |row: &lmstat::Session| series.checkouts[row.checkout as usize].line;
    located(columns, series, rows, |row| snapshot_of(row.checkout), line)
}
