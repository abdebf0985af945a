//! `tokenflex.pair` and `tokenflex.denials`.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::BooleanArray;
use arrow_array::types::{UInt8Type, UInt32Type, UInt64Type};
use pyo3::prelude::*;
use tokenflex_core::feature;
use tokenflex_core::flexlm::Kind;
use tokenflex_core::intern::{Interner, NONE};
use tokenflex_core::pair::{self as core, Carried, EndReason, Events, Kept, Packages, Paired, Sessions, Unpaired};

use crate::arrow::{self, Columns, Imported, Table, joined};
use crate::error::{Failure, TableError, guarded};

/// Sessions, rows that could not be paired, and how many package lines were set aside.
type PairedTables = (Table, Table, u64);

/// Pairs a table of events into sessions.
#[pyfunction]
#[pyo3(signature = (events, *, packages, as_of))]
pub fn pair(
    py: Python<'_>,
    events: &Bound<'_, PyAny>,
    packages: Option<&Bound<'_, PyAny>>,
    as_of: Option<i64>,
) -> PyResult<PairedTables> {
    guarded(py, || {
        let imported = arrow::import(events)?;
        let (columns, paired) = paired(py, &imported, packages, as_of, false)?;
        let problems = unpaired_table(&paired);
        let package_lines = paired.package_lines;
        Ok((sessions_table(paired.sessions, &columns), problems, package_lines))
    })
}

/// What the sessions hold when: stretches with the columns of sessions and the session's number; and rows that could not
/// be paired.
#[pyfunction]
#[pyo3(signature = (events, *, packages, as_of))]
pub fn held(
    py: Python<'_>,
    events: &Bound<'_, PyAny>,
    packages: Option<&Bound<'_, PyAny>>,
    as_of: Option<i64>,
) -> PyResult<(Table, Table, Table)> {
    guarded(py, || {
        let imported = arrow::import(events)?;
        let (columns, paired) = paired(py, &imported, packages, as_of, true)?;
        let problems = unpaired_table(&paired);
        let Paired { sessions, held, .. } = paired;
        let of = |session: &u32| *session as usize;
        let stretches = Sessions {
            row: held.session.iter().map(of).map(|session| sessions.row[session]).collect(),
            end_reason: held.session.iter().map(of).map(|session| sessions.end_reason[session]).collect(),
            start: held.start,
            end: held.end,
            licenses: held.licenses,
            checkouts: held.checkouts,
        };
        let numbers = held.session.iter().map(|&session| u64::from(session)).collect::<Vec<_>>();
        let numbers = Columns::default().numbers::<UInt64Type>("session", numbers, None).finish();
        Ok((sessions_table(stretches, &columns), numbers, problems))
    })
}

/// Goes on with the events of one server: `carried` is a table of numbers beside the first rows of the events. Gives the
/// sessions, their rows, what could not be paired, what was going on at `keep_at` with its rows, the last instant
/// before it, and whether one can go on from there.
#[pyfunction]
#[pyo3(signature = (events, *, packages, as_of, carried, last_seen, keep_at))]
pub fn pair_on(
    py: Python<'_>,
    events: &Bound<'_, PyAny>,
    packages: Option<&Bound<'_, PyAny>>,
    as_of: Option<i64>,
    carried: &Bound<'_, PyAny>,
    last_seen: Option<i64>,
    keep_at: Option<i64>,
) -> PyResult<(Table, Table, Table, Table, Option<i64>, bool)> {
    guarded(py, || {
        let imported = arrow::import(events)?;
        let carried = arrow::import(carried)?;
        let packages = packages.map(arrow::import).transpose()?;
        let (columns, paired, kept) = py.detach(|| -> Result<_, Failure> {
            let columns = EventColumns::of(&imported)?;
            let packages = packages_of(packages.as_ref(), &columns.features)?;
            let numbers = |column| carried.numbers(column, 0).map(joined);
            let closing_until = carried.times("closing_until", i64::MIN)?;
            let (licenses, peak) = (numbers("licenses")?, numbers("peak")?);
            let (checkouts, set_aside) = (numbers("checkouts")?, numbers("set_aside")?);
            let carried = Carried {
                licenses: &licenses,
                peak: &peak,
                checkouts: &checkouts,
                set_aside: &set_aside,
                closing_until: &closing_until,
                last_seen,
                keep_at,
            };
            let (paired, kept) = core::pair_on(&columns.events(), &packages, as_of, &carried)?;
            Ok((columns, paired, kept))
        })?;
        let problems = unpaired_table(&paired);
        let rows = paired.sessions.row.clone();
        let rows = Columns::default().numbers::<UInt32Type>("row", rows, None).finish();
        let (last_seen, is_whole) = (kept.last_seen, kept.is_whole);
        let kept = kept_table(kept, &columns);
        Ok((sessions_table(paired.sessions, &columns), rows, problems, kept, last_seen, is_whole))
    })
}

fn kept_table(kept: Kept, columns: &EventColumns<'_>) -> Table {
    let count = kept.row.len();
    Columns::default()
        .numbers::<UInt32Type>("row", kept.row, None)
        .names("daemon", kept.daemon, &columns.daemons, count)
        .numbers::<UInt32Type>("licenses", kept.licenses, None)
        .numbers::<UInt32Type>("peak", kept.peak, None)
        .numbers::<UInt32Type>("checkouts", kept.checkouts, None)
        .numbers::<UInt32Type>("set_aside", kept.set_aside, None)
        .times("closing_until", kept.closing_until, Some(i64::MIN))
        .finish()
}

/// The columns of the events, and what pairing makes of them with the interpreter released; `cut` asks for stretches too.
fn paired<'a>(
    py: Python<'_>,
    events: &'a Imported,
    packages: Option<&Bound<'_, PyAny>>,
    as_of: Option<i64>,
    cut: bool,
) -> Result<(EventColumns<'a>, Paired), Failure> {
    let packages = packages.map(arrow::import).transpose()?;
    py.detach(|| {
        let columns = EventColumns::of(events)?;
        let packages = packages_of(packages.as_ref(), &columns.features)?;
        let paired = core::pair(&columns.events(), &packages, as_of, cut)?;
        Ok((columns, paired))
    })
}

/// For each event whether it is a package line beside its component.
#[pyfunction]
#[pyo3(signature = (events, *, packages))]
pub fn package_lines(
    py: Python<'_>,
    events: &Bound<'_, PyAny>,
    packages: Option<&Bound<'_, PyAny>>,
) -> PyResult<Table> {
    guarded(py, || {
        let imported = arrow::import(events)?;
        let packages = packages.map(arrow::import).transpose()?;
        let beside = py.detach(|| -> Result<_, Failure> {
            let columns = EventColumns::of(&imported)?;
            let packages = packages_of(packages.as_ref(), &columns.features)?;
            Ok(core::package_lines(&columns.events(), &packages))
        })?;
        Ok(Columns::default().array("is_package_line", Arc::new(BooleanArray::from(beside))).finish())
    })
}

/// The columns of an events table that pairing reads, and those that sessions carry on.
struct EventColumns<'a> {
    server: Cow<'a, [u32]>,
    time: Cow<'a, [i64]>,
    kind: Vec<u8>,
    feature: Cow<'a, [u32]>,
    user: Cow<'a, [u32]>,
    host: Cow<'a, [u32]>,
    licenses: Cow<'a, [u32]>,
    reason: Cow<'a, [u32]>,
    daemon: Cow<'a, [u32]>,
    file: Cow<'a, [u32]>,
    line: Cow<'a, [u32]>,
    servers: Interner,
    features: Interner,
    users: Interner,
    hosts: Interner,
    reasons: Interner,
    daemons: Interner,
    files: Interner,
}

impl<'a> EventColumns<'a> {
    fn of(table: &'a Imported) -> Result<Self, Failure> {
        let rows = table.rows();
        let names = |column| table.codes(column).map(|codes| (codes.rows, codes.names));
        let optional = |column| {
            if table.has(column) { names(column) } else { Ok((vec![NONE; rows].into(), Interner::new())) }
        };
        let (server, servers) = optional("server")?;
        let (feature, features) = names("feature")?;
        let (user, users) = names("user")?;
        let (host, hosts) = names("host")?;
        let (reason, reasons) = optional("reason")?;
        let (daemon, daemons) = optional("daemon")?;
        let (file, files) = optional("file")?;
        let numbers = |column, default| {
            if table.has(column) { table.numbers(column, default).map(joined) } else { Ok(vec![default; rows].into()) }
        };
        Ok(Self {
            server,
            time: times(table)?,
            kind: kinds(table)?,
            feature,
            user,
            host,
            licenses: numbers("licenses", 1)?,
            reason,
            daemon,
            file,
            line: numbers("line", NONE)?,
            servers,
            features,
            users,
            hosts,
            reasons,
            daemons,
            files,
        })
    }

    fn events(&self) -> Events<'_> {
        Events {
            server: &self.server,
            time: &self.time,
            kind: &self.kind,
            feature: &self.feature,
            user: &self.user,
            host: &self.host,
            licenses: &self.licenses,
            reason: &self.reason,
            daemon: &self.daemon,
            features: &self.features,
            reasons: &self.reasons,
            daemons: &self.daemons,
        }
    }
}

fn times(table: &Imported) -> Result<Cow<'_, [i64]>, TableError> {
    let times = table.times("time", i64::MIN)?;
    match times.iter().position(|&time| time == i64::MIN) {
        None => Ok(times),
        Some(row) => Err(TableError::ColumnValue {
            column: "time",
            row,
            message: format!("column \"time\" is null in row {row}: an event needs its instant"),
        }),
    }
}

fn kinds(table: &Imported) -> Result<Vec<u8>, TableError> {
    let codes = table.codes("kind")?;
    let known = |name: &[u8]| Kind::NAMES.iter().position(|kind| kind.as_bytes() == name);
    let kinds: Vec<Option<u8>> = codes.names.iter().map(|name| known(name).map(|kind| kind as u8)).collect();
    let rows = codes.rows.iter().enumerate();
    rows.map(|(row, &code)| {
        kinds.get(code as usize).copied().flatten().ok_or_else(|| TableError::ColumnValue {
            column: "kind",
            row,
            message: format!("column \"kind\" in row {row} is none of {}", Kind::NAMES.join(", ")),
        })
    })
    .collect()
}

fn packages_of(table: Option<&Imported>, features: &Interner) -> Result<Packages, TableError> {
    let Some(table) = table else { return Ok(Packages::default()) };
    let packages = table.codes("package")?;
    let components = table.codes("component")?;
    let code = |names: &Interner, code: u32| (code != NONE).then(|| features.find(names.get(code))).flatten();
    let rows = packages.rows.iter().zip(&*components.rows).filter_map(|(&package, &component)| {
        Some((code(&packages.names, package)?, code(&components.names, component)?))
    });
    Ok(Packages::new(rows))
}

/// The product lines and versions of sessions by their features.
pub struct FeatureColumns {
    pub product: Vec<u32>,
    pub version: Vec<u32>,
    pub products: Interner,
    pub versions: Interner,
}

impl FeatureColumns {
    pub fn of(rows: &[u32], features: &Interner) -> Self {
        let mut products = Interner::new();
        let mut versions = Interner::new();
        let read: Vec<(u32, u32)> = features
            .iter()
            .map(feature::parse)
            .map(|code| (products.intern(code.product), code.version.map_or(NONE, |version| versions.intern(version))))
            .collect();
        let product = rows.iter().map(|&code| read[code as usize].0).collect();
        let version = rows.iter().map(|&code| read[code as usize].1).collect();
        Self { product, version, products, versions }
    }
}

fn sessions_table(sessions: Sessions, columns: &EventColumns<'_>) -> Table {
    let at = |column: &[u32]| sessions.row.iter().map(|&row| column[row as usize]).collect::<Vec<u32>>();
    let opened = Opened {
        server: (at(&columns.server), &columns.servers),
        user: (at(&columns.user), &columns.users),
        host: (at(&columns.host), &columns.hosts),
        feature: (at(&columns.feature), &columns.features),
        file: (at(&columns.file), &columns.files),
        line: at(&columns.line),
    };
    session_columns(opened, sessions).finish()
}

/// The events that opened sessions: codes and the names behind them.
pub struct Opened<'a> {
    pub server: (Vec<u32>, &'a Interner),
    pub user: (Vec<u32>, &'a Interner),
    pub host: (Vec<u32>, &'a Interner),
    pub feature: (Vec<u32>, &'a Interner),
    pub file: (Vec<u32>, &'a Interner),
    pub line: Vec<u32>,
}

/// The columns of sessions.
pub fn session_columns(opened: Opened<'_>, sessions: Sessions) -> Columns {
    let count = sessions.start.len();
    let Opened { server, user, host, feature, file, line } = opened;
    let FeatureColumns { product, version, products, versions } = FeatureColumns::of(&feature.0, feature.1);
    let is_open: BooleanArray =
        sessions.end_reason.iter().map(|&reason| Some(reason == EndReason::Open as u8)).collect();
    Columns::default()
        .names("server", server.0, server.1, count)
        .names("user", user.0, user.1, count)
        .names("host", host.0, host.1, count)
        .names("feature", feature.0, feature.1, count)
        .names("product", product, &products, count)
        .names("version", version, &versions, count)
        .times("start", sessions.start, None)
        .times("end", sessions.end, None)
        .numbers::<UInt32Type>("licenses", sessions.licenses, None)
        .numbers::<UInt32Type>("checkouts", sessions.checkouts, None)
        .numbers::<UInt8Type>("end_reason", sessions.end_reason, None)
        .array("is_open", Arc::new(is_open))
        .names("file", file.0, file.1, count)
        .numbers::<UInt32Type>("line", line, Some(NONE))
}

fn unpaired_table(paired: &Paired) -> Table {
    let rows = paired.unpaired.iter().map(|&(row, _)| u64::from(row)).collect();
    let why: Vec<Unpaired> = paired.unpaired.iter().map(|&(_, why)| why).collect();
    unpaired_columns(rows, &why).finish()
}

/// What could not be paired: the rows of events, and why.
pub fn unpaired_columns(rows: Vec<u64>, why: &[Unpaired]) -> Columns {
    let mut codes = Interner::new();
    let code: Vec<u32> = why.iter().map(|why| codes.intern(why.code().as_bytes())).collect();
    Columns::default().numbers::<UInt64Type>("location", rows, None).names("code", code, &codes, why.len())
}
