//! `tokenflex.read_rlm`.

use std::sync::Arc;

use arrow_array::BooleanArray;
use arrow_array::types::{Int32Type, UInt8Type, UInt32Type, UInt64Type};
use pyo3::prelude::*;
use tokenflex_core::flexlm::Kind;
use tokenflex_core::pair::EndReason;
use tokenflex_core::rlm::{self, Log, NO_NUMBER, Options};

use crate::arrow::{Columns, Table};
use crate::error::guarded;
use crate::read::{ReadOptions, events_table, files_table, problems_table, run};

/// Events, sessions, denials, problems, files.
type LogTables = (Table, Table, Table, Table, Table);

/// Reads report logs of RLM.
#[pyfunction]
#[pyo3(signature = (options, *, progress))]
pub fn read_rlm(py: Python<'_>, options: ReadOptions, progress: Option<&Bound<'_, PyAny>>) -> PyResult<LogTables> {
    guarded(py, || {
        let mut log = run(py, options, progress, |inputs, settings, progress| {
            let options = Options { timezone: settings.timezone, server: settings.server, encoding: settings.encoding };
            rlm::read(inputs, &options, progress)
        })?;
        let (sessions, denials) = (sessions_table(&log), denials_table(&log));
        let events = events_table(&log.names, std::mem::take(&mut log.events));
        Ok((events, sessions, denials, problems_table(&log.problems), files_table(&log.files)))
    })
}

fn sessions_table(log: &Log) -> Table {
    let (events, names, sessions) = (&log.events, &log.names, &log.sessions.sessions);
    let count = sessions.row.len();
    let at = |column: &[u32]| sessions.row.iter().map(|&row| column[row as usize]).collect::<Vec<u32>>();
    let handle: Vec<u64> = sessions.row.iter().map(|&row| events.handle[row as usize]).collect();
    let is_open: BooleanArray =
        sessions.end_reason.iter().map(|&reason| Some(reason == EndReason::Open as u8)).collect();
    Columns::default()
        .names("server", at(&events.server), &names.server, count)
        .names("user", at(&events.user), &names.user, count)
        .names("host", at(&events.host), &names.host, count)
        .names("feature", at(&events.feature), &names.feature, count)
        .names("product", at(&events.feature), &names.feature, count)
        .names("version", at(&events.version), &names.version, count)
        .times("start", sessions.start.clone(), None)
        .times("end", sessions.end.clone(), None)
        .numbers::<UInt32Type>("licenses", sessions.licenses.clone(), None)
        .numbers::<UInt32Type>("checkouts", sessions.checkouts.clone(), None)
        .numbers::<UInt8Type>("end_reason", sessions.end_reason.clone(), None)
        .array("is_open", Arc::new(is_open))
        .names("file", at(&events.file), &names.file, count)
        .numbers::<UInt32Type>("line", at(&events.line), None)
        .names("isv", at(&events.daemon), &names.daemon, count)
        .numbers::<UInt64Type>("handle", handle, Some(u64::MAX))
        .numbers::<Int32Type>("why", log.sessions.why.clone(), Some(NO_NUMBER))
        .finish()
}

fn denials_table(log: &Log) -> Table {
    let (events, names) = (&log.events, &log.names);
    let rows: Vec<usize> = (0..events.kind.len()).filter(|&row| events.kind[row] == Kind::Denied as u8).collect();
    let count = rows.len();
    let at = |column: &[u32]| rows.iter().map(|&row| column[row]).collect::<Vec<u32>>();
    let is_last: BooleanArray = rows.iter().map(|&row| Some(!log.is_asked_again[row])).collect();
    let of_why: Vec<i32> = rows.iter().map(|&row| log.why[row]).collect();
    Columns::default()
        .names("server", at(&events.server), &names.server, count)
        .times("time", rows.iter().map(|&row| events.time[row]).collect::<Vec<i64>>(), None)
        .numbers::<UInt8Type>("kind", vec![Kind::Denied as u8; count], None)
        .names("feature", at(&events.feature), &names.feature, count)
        .names("user", at(&events.user), &names.user, count)
        .names("host", at(&events.host), &names.host, count)
        .numbers::<UInt32Type>("licenses", at(&events.licenses), None)
        .names("reason", at(&events.reason), &names.reason, count)
        .names("version", at(&events.version), &names.version, count)
        .names("file", at(&events.file), &names.file, count)
        .numbers::<UInt32Type>("line", at(&events.line), None)
        .numbers::<Int32Type>("why", of_why, Some(NO_NUMBER))
        .array("is_last_attempt", Arc::new(is_last))
        .finish()
}
