//! `tokenflex.read_flexlm`, and what the readers share: sources, options, and the tables of problems and files.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::thread;

use arrow_array::builder::{Date32Builder, ListBuilder, StringBuilder};
use arrow_array::types::{Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{BooleanArray, LargeStringArray};
use encoding_rs::Encoding;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;
use tokenflex_core::Error;
use tokenflex_core::flexlm::{
    self, Anchor, Content, Coverage, FileReport, Input, Log, Options, Package, Problem, Progress, Timezone,
};
use tokenflex_core::text;
use tokenflex_core::time::zone::Zone;

use crate::arrow::{Columns, Table};
use crate::error::{Failure, guarded};

/// Where a log comes from: its name in the events, the folder that groups it, and a path, bytes or a file object.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Source {
    name: String,
    folder: String,
    path: Option<String>,
    bytes: Option<Py<PyBytes>>,
    file: Option<Py<PyAny>>,
}

/// How to read.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ReadOptions {
    sources: Vec<Source>,
    timezone: Option<String>,
    timezones: HashMap<String, String>,
    server: Option<String>,
    encoding: String,
    first_date: Option<i32>,
    threads: Option<usize>,
}

/// Events, problems, packages, files, coverage.
type LogTables = (Table, Table, Table, Table, Table);

/// Reads `FlexNet` debug logs.
#[pyfunction]
#[pyo3(signature = (options, *, progress))]
pub fn read_flexlm(py: Python<'_>, options: ReadOptions, progress: Option<&Bound<'_, PyAny>>) -> PyResult<LogTables> {
    guarded(py, || {
        let log = run(py, options, progress, |inputs, settings, progress| flexlm::read(inputs, &settings, progress))?;
        Ok(tables(log))
    })
}

/// Reads parts of debug logs: of each source so many lines were left out before its first one. Gives the tables of
/// `read_flexlm`, the lines from which on a file can be read alone, and the hosts that each file names.
#[pyfunction]
#[pyo3(signature = (options, lines_before, *, progress))]
pub fn read_flexlm_on(
    py: Python<'_>,
    options: ReadOptions,
    lines_before: Vec<u64>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<(LogTables, Table, Vec<Vec<String>>)> {
    guarded(py, || {
        let mut log = run(py, options, progress, move |inputs, settings, progress| {
            flexlm::read_on(inputs, &settings, progress, &lines_before)
        })?;
        let (anchors, hosts) = (std::mem::take(&mut log.anchors), std::mem::take(&mut log.hosts));
        Ok((tables(log), anchors_table(&anchors), hosts))
    })
}

/// Local times and offsets are seconds.
fn anchors_table(anchors: &[Anchor]) -> Table {
    let offset = |anchor: &Anchor| anchor.offset.map_or(i64::MIN, i64::from);
    Columns::default()
        .numbers::<UInt32Type>("file", anchors.iter().map(|anchor| anchor.file).collect::<Vec<_>>(), None)
        .numbers::<UInt64Type>("line", anchors.iter().map(|anchor| anchor.line).collect::<Vec<_>>(), None)
        .numbers::<Int64Type>("local", anchors.iter().map(|anchor| anchor.local).collect::<Vec<_>>(), None)
        .numbers::<Int64Type>("offset", anchors.iter().map(offset).collect::<Vec<_>>(), Some(i64::MIN))
        .finish()
}

/// Opens the sources and reads them with the interpreter released.
pub fn run<T: Send>(
    py: Python<'_>,
    options: ReadOptions,
    progress: Option<&Bound<'_, PyAny>>,
    read: impl FnOnce(Vec<Input>, Options, Progress<'_>) -> tokenflex_core::Result<T> + Send,
) -> Result<T, Failure> {
    let progress = progress.map(|progress| progress.clone().unbind());
    let settings = settings(&options)?;
    let inputs = options.sources.into_iter().map(|source| input(py, source)).collect::<Result<Vec<_>, _>>()?;
    let mut raised = None;
    let read = py.detach(|| {
        let mut report = |bytes: u64| report_progress(progress.as_ref(), bytes, &mut raised);
        read(inputs, settings, &mut report)
    });
    match raised {
        Some(error) => Err(Failure::Python(error)),
        None => Ok(read?),
    }
}

/// The first bytes of a file as text, unpacked; letters that are no UTF-8 are replaced.
#[pyfunction]
pub fn text_head(py: Python<'_>, path: &str, limit: usize) -> PyResult<String> {
    guarded(py, || {
        let head = || text::head(Box::new(File::open(path)?), limit);
        let bytes = py.detach(head).map_err(|error| Error::Io { source_name: path.to_owned(), error })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    })
}

/// Lines of a file by their numbers, from 1 and ascending; None for those that it does not have.
#[pyfunction]
pub fn excerpt(py: Python<'_>, path: &str, encoding: &str, numbers: Vec<u64>) -> PyResult<Vec<Option<String>>> {
    guarded(py, || {
        let encoding = encoding_of(encoding)?;
        let content = Content::File(path.into());
        let input = Input { name: path.to_owned(), folder: String::new(), bytes: None, content };
        Ok(py.detach(move || tokenflex_core::excerpt(input, encoding, &numbers))?)
    })
}

/// Lets Ctrl-C through and tells the caller how far the reading is. `false` stops it.
fn report_progress(progress: Option<&Py<PyAny>>, bytes: u64, raised: &mut Option<PyErr>) -> bool {
    Python::attach(|py| {
        let told = py.check_signals().and_then(|()| match progress {
            Some(progress) => progress.call1(py, (bytes,)).map(|_| ()),
            None => Ok(()),
        });
        told.map_err(|error| *raised = Some(error)).is_ok()
    })
}

fn settings(options: &ReadOptions) -> Result<Options, Failure> {
    let timezone = match &options.timezone {
        Some(name) => Timezone::One(Zone::get(name)?),
        None if options.timezones.is_empty() => Timezone::None,
        None => {
            let zones = options.timezones.iter().map(|(server, name)| Ok((server.clone(), Zone::get(name)?)));
            Timezone::PerServer(zones.collect::<Result<_, Error>>()?)
        }
    };
    let encoding = encoding_of(&options.encoding)?;
    let threads = options.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    Ok(Options { timezone, server: options.server.clone(), encoding, first_date: options.first_date, threads })
}

fn encoding_of(name: &str) -> Result<&'static Encoding, Error> {
    Encoding::for_label(name.as_bytes()).ok_or_else(|| Error::Invalid {
        argument: "encoding",
        message: format!("unknown encoding {name:?}: give a name such as \"cp1252\" or \"cp1250\""),
    })
}

fn input(py: Python<'_>, source: Source) -> Result<Input, Failure> {
    let (content, bytes) = match (source.path, source.bytes, source.file) {
        (Some(path), ..) => {
            let found = fs::metadata(&path).map_err(|error| Error::Io { source_name: source.name.clone(), error })?;
            (Content::File(path.into()), Some(found.len()))
        }
        (_, Some(bytes), _) => {
            let bytes = bytes.as_bytes(py).to_vec();
            let count = bytes.len() as u64;
            (Content::Stream(Box::new(Cursor::new(bytes))), Some(count))
        }
        (.., Some(file)) => (Content::Stream(Box::new(PythonFile { file, rest: Vec::new(), at: 0 })), None),
        _ => (Content::Stream(Box::new(io::empty())), Some(0)),
    };
    Ok(Input { name: source.name, folder: source.folder, bytes, content })
}

/// A binary file object of Python's.
struct PythonFile {
    file: Py<PyAny>,
    rest: Vec<u8>,
    at: usize,
}

impl Read for PythonFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.rest.len() {
            self.rest = Python::attach(|py| self.file.call_method1(py, "read", (1 << 20,))?.extract::<Vec<u8>>(py))
                .map_err(|error: PyErr| io::Error::other(error.to_string()))?;
            self.at = 0;
        }
        let count = into.len().min(self.rest.len() - self.at);
        into[..count].copy_from_slice(&self.rest[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn tables(mut log: Log) -> LogTables {
    let events = events_table(&log.names, std::mem::take(&mut log.events));
    let (problems, packages, files, coverage) = tables_beside(&log);
    (events, problems, packages, files, coverage)
}

/// Problems, packages, files and coverage.
pub fn tables_beside(log: &Log) -> (Table, Table, Table, Table) {
    (
        problems_table(&log.problems),
        packages_table(&log.packages),
        files_table(&log.files),
        coverage_table(&log.coverage),
    )
}

/// The events of a log.
pub fn events_table(names: &flexlm::Names, events: flexlm::Events) -> Table {
    let rows = events.time.len();
    let handle = if events.handle.is_empty() { vec![u64::MAX; rows] } else { events.handle };
    Columns::default()
        .names("server", events.server, &names.server, rows)
        .times("time", events.time, None)
        .numbers::<UInt8Type>("kind", events.kind, None)
        .names("feature", events.feature, &names.feature, rows)
        .names("user", events.user, &names.user, rows)
        .names("host", events.host, &names.host, rows)
        .numbers::<UInt32Type>("licenses", events.licenses, None)
        .names("data", events.data, &names.data, rows)
        .names("reason", events.reason, &names.reason, rows)
        .names("version", events.version, &names.version, rows)
        .numbers::<UInt64Type>("handle", handle, Some(u64::MAX))
        .names("daemon", events.daemon, &names.daemon, rows)
        .names("file", events.file, &names.file, rows)
        .numbers::<UInt32Type>("line", events.line, None)
        .finish()
}

/// A column of texts.
pub fn text<'a>(rows: impl Iterator<Item = &'a str>) -> Arc<LargeStringArray> {
    Arc::new(LargeStringArray::from_iter_values(rows))
}

/// The problems of a reader.
pub fn problems_table(problems: &[Problem]) -> Table {
    let lines: Vec<u64> = problems.iter().map(|problem| problem.line.unwrap_or(u64::MAX)).collect();
    Columns::default()
        .array("source", text(problems.iter().map(|problem| problem.source.as_str())))
        .numbers::<UInt64Type>("location", lines, Some(u64::MAX))
        .array("code", text(problems.iter().map(|problem| problem.code)))
        .array("message", text(problems.iter().map(|problem| problem.message.as_str())))
        .finish()
}

fn packages_table(packages: &[Package]) -> Table {
    Columns::default()
        .array("server", text(packages.iter().map(|row| row.server.as_str())))
        .array("daemon", text(packages.iter().map(|row| row.daemon.as_str())))
        .array("package", text(packages.iter().map(|row| row.package.as_str())))
        .array("component", text(packages.iter().map(|row| row.component.as_str())))
        .finish()
}

/// What became of the lines of each file.
pub fn files_table(files: &[FileReport]) -> Table {
    let count = |column: fn(&FileReport) -> u64| files.iter().map(column).collect::<Vec<u64>>();
    let instant = |column: fn(&FileReport) -> Option<i64>| {
        files.iter().map(|file| column(file).unwrap_or(i64::MIN)).collect::<Vec<i64>>()
    };
    Columns::default()
        .array("server", text(files.iter().map(|file| file.server.as_str())))
        .array("file", text(files.iter().map(|file| file.name.as_str())))
        .numbers::<UInt64Type>("bytes", count(|file| file.bytes), None)
        .numbers::<UInt64Type>("lines", count(|file| file.lines), None)
        .numbers::<UInt64Type>("glued", count(|file| file.glued), None)
        .numbers::<UInt64Type>("event_lines", count(|file| file.event_lines), None)
        .numbers::<UInt64Type>("other_lines", count(|file| file.other_lines), None)
        .numbers::<UInt64Type>("problem_lines", count(|file| file.problem_lines), None)
        .numbers::<UInt64Type>("repeated_lines", count(|file| file.repeated_lines), None)
        .times("first", instant(|file| file.first), Some(i64::MIN))
        .times("last", instant(|file| file.last), Some(i64::MIN))
        .numbers::<UInt32Type>("segments", files.iter().map(|file| file.segments).collect::<Vec<u32>>(), None)
        .finish()
}

fn coverage_table(coverage: &[Coverage]) -> Table {
    let instant = |column: fn(&Coverage) -> Option<i64>| {
        coverage.iter().map(|row| column(row).unwrap_or(i64::MIN)).collect::<Vec<i64>>()
    };
    let mut missing = ListBuilder::new(Date32Builder::new());
    let mut daemons = ListBuilder::new(StringBuilder::new());
    for row in coverage {
        missing.append_value(row.days_without_lines.iter().map(|&day| Some(day)));
        daemons.append_value(row.daemons.iter().map(Some));
    }
    let logged: BooleanArray = coverage.iter().map(|row| Some(row.checkins_logged)).collect();
    let reporting: BooleanArray = coverage.iter().map(|row| row.reporting).collect();
    Columns::default()
        .array("server", text(coverage.iter().map(|row| row.server.as_str())))
        .times("first", instant(|row| row.first), Some(i64::MIN))
        .times("last", instant(|row| row.last), Some(i64::MIN))
        .numbers::<UInt32Type>("days", coverage.iter().map(|row| row.days).collect::<Vec<u32>>(), None)
        .array("days_without_lines", Arc::new(missing.finish()))
        .numbers::<UInt64Type>("checkouts", coverage.iter().map(|row| row.checkouts).collect::<Vec<u64>>(), None)
        .numbers::<UInt64Type>("checkins", coverage.iter().map(|row| row.checkins).collect::<Vec<u64>>(), None)
        .array("checkins_logged", Arc::new(logged))
        .array("reporting", Arc::new(reporting))
        .array("daemons", Arc::new(daemons.finish()))
        .finish()
}
