//! Logs of any size: their events on disk, and the sessions of each server as they are asked for.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::types::{UInt8Type, UInt32Type, UInt64Type};
use pyo3::prelude::*;
use tokenflex_core::flexlm::{self, Stream};
use tokenflex_core::intern::NONE;
use tokenflex_core::pair::{Ended, Going, Names, Packages, Rows};

use crate::arrow::{Columns, Table};
use crate::error::{Failure, guarded};
use crate::pair::{Opened, session_columns, unpaired_columns};
use crate::read::{ReadOptions, run, tables_beside};

/// Logs with their events on disk.
#[pyclass(frozen, module = "tokenflex._core")]
pub struct Spooled {
    log: Arc<flexlm::Spooled>,
    packages: Arc<Packages>,
}

#[pymethods]
impl Spooled {
    /// Reads logs into a folder, so many rows together.
    #[new]
    #[pyo3(signature = (options, *, folder, chunk_rows, progress))]
    fn new(
        py: Python<'_>,
        options: ReadOptions,
        folder: &str,
        chunk_rows: usize,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        guarded(py, || {
            let log = run(py, options, progress, |inputs, settings, progress| {
                flexlm::spool(inputs, &settings, progress, Path::new(folder), chunk_rows)
            })?;
            let features = &log.log.names.feature;
            let rows = log.log.packages.iter().filter_map(|row| {
                Some((features.find(row.package.as_bytes())?, features.find(row.component.as_bytes())?))
            });
            let packages = Arc::new(Packages::new(rows));
            Ok(Self { log: Arc::new(log), packages })
        })
    }

    /// Problems, packages, files and coverage.
    fn tables(&self) -> (Table, Table, Table, Table) {
        tables_beside(&self.log.log)
    }

    /// The names of the servers, in the order of their events.
    fn servers(&self) -> Vec<String> {
        self.log.servers()
    }
}

/// The sessions of one server, as they end.
#[pyclass(frozen, module = "tokenflex._core")]
pub struct ServerSessions {
    log: Arc<flexlm::Spooled>,
    packages: Arc<Packages>,
    server: u32,
    /// None when all has been given.
    going: Mutex<Option<(Stream, Going)>>,
}

/// Sessions with the number of the event that opened each and the cut before which it came; events that could not be
/// paired; why; how many were refused; and the last instant.
type Given = (Table, Table, Table, [u64; 2], Option<i64>);

#[pymethods]
impl ServerSessions {
    /// Those of a server that is told by its place.
    #[new]
    fn new(py: Python<'_>, log: &Spooled, server: usize) -> PyResult<Self> {
        guarded(py, || {
            let stream = log.log.stream(server)?;
            let names = log.log.servers();
            let code = names.get(server).and_then(|name| log.log.log.names.server.find(name.as_bytes()));
            Ok(Self {
                log: Arc::clone(&log.log),
                packages: Arc::clone(&log.packages),
                server: code.unwrap_or(NONE),
                going: Mutex::new(Some((stream, Going::default()))),
            })
        })
    }

    /// What ended among about so many of the next events; none after the end. What is open comes with the last.
    fn next(&self, py: Python<'_>, rows: usize) -> PyResult<Option<Given>> {
        guarded(py, || {
            let ended = py.detach(|| self.pair(rows))?;
            Ok(ended.map(|ended| self.tables(ended)))
        })
    }
}

impl ServerSessions {
    fn pair(&self, rows: usize) -> Result<Option<Ended>, Failure> {
        let mut state = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((stream, going)) = state.as_mut() else { return Ok(None) };
        let names = &self.log.log.names;
        let names = Names { features: &names.feature, reasons: &names.reason, daemons: &names.daemon };
        loop {
            let (batch, least_after) = stream.next(rows)?;
            going.push(batch);
            if least_after == i64::MAX {
                let ended = going.finish(&self.packages, names);
                *state = None;
                return Ok(Some(ended));
            }
            if let Some(ended) = going.pair(&self.packages, names, least_after) {
                return Ok(Some(ended));
            }
        }
    }

    fn tables(&self, ended: Ended) -> Given {
        let names = &self.log.log.names;
        let Ended { opened, sessions, unpaired: (events, why), last, refused } = ended;
        let opened_by = Opened {
            server: (vec![self.server; opened.len()], &names.server),
            user: (opened.user, &names.user),
            host: (opened.host, &names.host),
            feature: (opened.feature, &names.feature),
            file: (opened.file, &names.file),
            line: opened.line,
        };
        let sessions = session_columns(opened_by, sessions)
            .numbers::<UInt64Type>("number", opened.number, None)
            .numbers::<UInt32Type>("step", opened.step, None)
            .finish();
        let places = (0..why.len() as u64).collect();
        (sessions, self.events(events), unpaired_columns(places, &why).finish(), refused, last)
    }

    fn events(&self, rows: Rows) -> Table {
        let (names, count) = (&self.log.log.names, rows.len());
        Columns::default()
            .numbers::<UInt8Type>("kind", rows.kind, None)
            .names("feature", rows.feature, &names.feature, count)
            .names("user", rows.user, &names.user, count)
            .names("host", rows.host, &names.host, count)
            .names("file", rows.file, &names.file, count)
            .numbers::<UInt32Type>("line", rows.line, None)
            .finish()
    }
}
