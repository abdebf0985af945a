//! `tokenflex.concurrency`, `tokenflex.capacity` and `tokenflex.heat_map`.

use std::borrow::Cow;

use arrow_array::types::{Int64Type, UInt8Type, UInt32Type, UInt64Type};
use pyo3::prelude::*;
use tokenflex_core::concurrency::groups::{Groups, Key, number};
use tokenflex_core::concurrency::heat::heat;
use tokenflex_core::concurrency::hours::{Business, CELLS, Period, all, open};
use tokenflex_core::concurrency::levels::{Counted, levels};
use tokenflex_core::concurrency::steps::{Steps, steps};
use tokenflex_core::concurrency::{Checked, Fault, Sessions};
use tokenflex_core::intern::NONE;
use tokenflex_core::meter::{NO_TIME, OPEN};
use tokenflex_core::time::zone::Zone;

use crate::arrow::{self, Columns, Imported, Table, joined};
use crate::error::{Failure, guarded};

/// Sessions as `tokenflex.usage` hands them over.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Asked<'py> {
    /// `start`, `end`, and where they count `licenses`, `member` and `checkouts`.
    sessions: Bound<'py, PyAny>,
    /// For each column to group by its codes, and for each code the place of its name in order.
    keys: Vec<(Bound<'py, PyAny>, Vec<u32>)>,
    /// `licenses`, `users` or `hosts`.
    count: String,
    as_of: Option<i64>,
}

/// An answer, the groups, and the rows that are not counted.
type Found<T> = (T, Table, Table);

/// For each group the levels in use, its sums; the period, and how much of it counts by each clock.
type Leveled = (Table, Table, (i64, i64), Vec<i64>);

/// The table and its groups' columns, imported.
struct Given {
    sessions: Imported,
    keys: Vec<(Imported, Vec<u32>)>,
    count: String,
    as_of: Option<i64>,
}

impl Asked<'_> {
    fn import(self) -> Result<Given, Failure> {
        let sessions = arrow::import(&self.sessions)?;
        let keys = self.keys.into_iter().map(|(codes, ranks)| Ok((arrow::import(&codes)?, ranks)));
        Ok(Given { sessions, keys: keys.collect::<Result<_, Failure>>()?, count: self.count, as_of: self.as_of })
    }
}

impl Given {
    /// Numbers the groups, looks at the rows, and answers with the groups and the rows that are not counted.
    fn run<T>(
        &self,
        answer: impl FnOnce(&Checked<'_>, &Groups) -> tokenflex_core::Result<T>,
    ) -> Result<Found<T>, Failure> {
        let optional = |name, null| -> Result<Option<Cow<'_, [u32]>>, Failure> {
            let has = self.sessions.has(name);
            Ok(if has { Some(joined(self.sessions.numbers(name, null)?)) } else { None })
        };
        let start = self.sessions.times("start", NO_TIME)?;
        let end = self.sessions.times("end", OPEN)?;
        let (licenses, member) = (optional("licenses", 1)?, optional("member", NONE)?);
        let checkouts = optional("checkouts", 1)?;
        let keys = self
            .keys
            .iter()
            .map(|(codes, ranks)| Ok(Key { codes: joined(codes.numbers("code", NONE)?), ranks: ranks.clone() }));
        let keys = keys.collect::<Result<Vec<_>, Failure>>()?;
        let groups = number(&keys, start.len())?;
        let sessions = Sessions {
            group: &groups.of_row,
            groups: groups.len(),
            start: &start,
            end: &end,
            licenses: licenses.as_deref(),
            checkouts: checkouts.as_deref(),
            member: member.as_deref(),
        };
        let checked = Checked::new(sessions, self.as_of)?;
        let found = answer(&checked, &groups)?;
        let problems = problems_of(&checked.faults, &self.count);
        Ok((found, groups_table(&groups), problems))
    }
}

fn groups_table(groups: &Groups) -> Table {
    let columns = groups.ranks.iter().enumerate().fold(Columns::default(), |columns, (place, ranks)| {
        columns.numbers::<UInt32Type>(&format!("rank{place}"), ranks.clone(), None)
    });
    columns.numbers::<UInt32Type>("group", (0..groups.len() as u32).collect::<Vec<_>>(), None).finish()
}

fn problems_of(faults: &[(u32, Fault)], count: &str) -> Table {
    let code = |&(_, fault): &(u32, Fault)| {
        let code = match fault {
            Fault::MissingStart => "missing_start",
            Fault::TimeOutOfRange => "time_out_of_range",
            Fault::EndBeforeStart => "end_before_start",
            Fault::MissingMember if count == "hosts" => "missing_host",
            Fault::MissingMember => "missing_user",
        };
        code.to_owned()
    };
    let codes: Vec<String> = faults.iter().map(code).collect();
    let rows: Vec<u64> = faults.iter().map(|&(row, _)| u64::from(row)).collect();
    Columns::default().numbers::<UInt64Type>("location", rows, None).texts("code", &codes).finish()
}

/// The steps in parts, each with the lengths of its groups; the groups, and the rows that are not counted.
#[pyfunction]
pub fn concurrency(py: Python<'_>, asked: Asked<'_>) -> PyResult<Found<Vec<(Table, Table)>>> {
    guarded(py, || {
        let given = asked.import()?;
        py.detach(|| {
            given.run(|checked, _| {
                let found = steps(&checked.uses(), checked.period)?;
                let table = |part: Steps| {
                    let runs = Columns::default()
                        .numbers::<UInt32Type>("group", part.runs.iter().map(|run| run.0).collect::<Vec<_>>(), None)
                        .numbers::<UInt64Type>(
                            "rows",
                            part.runs.iter().map(|run| run.1 as u64).collect::<Vec<_>>(),
                            None,
                        );
                    let steps = Columns::default().times("time", part.time, None).numbers::<UInt32Type>(
                        "in_use",
                        part.in_use,
                        None,
                    );
                    (runs.finish(), steps.finish())
                };
                Ok(found.into_iter().map(table).collect())
            })
        })
    })
}

/// Which time is looked at: its bounds where they are given, the zone of each clock, and business hours.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Window {
    since: Option<i64>,
    until: Option<i64>,
    /// Which key, if any, is the zone of a group; otherwise all have the first.
    clock_key: Option<usize>,
    /// Names of zones by their place in order.
    zones: Vec<String>,
    /// Days of the week from Monday on, microseconds after midnight from and to, and days that are none.
    hours: Option<([bool; 7], i64, i64, Vec<i32>)>,
}

impl Window {
    fn period(&self, checked: &Checked<'_>) -> tokenflex_core::Result<Period> {
        let (first, last) = checked.period.unwrap_or_default();
        let until = self.until.unwrap_or_else(|| last.max(self.since.unwrap_or(first)));
        let since = self.since.unwrap_or_else(|| first.min(until));
        Period::new(since, until, if self.until.is_none() { until + 1 } else { until })
    }

    fn zones(&self) -> tokenflex_core::Result<Vec<Zone>> {
        self.zones.iter().map(|zone| Zone::get(zone)).collect()
    }

    /// The clock of each group; groups without one are not asked for.
    fn clocks(&self, groups: &Groups) -> Vec<u32> {
        self.clock_key.map_or_else(|| vec![0; groups.len()], |place| groups.ranks[place].clone())
    }
}

/// For each group the levels in use, and its sums; the groups, the rows that are not counted, and the period.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts the window by value")]
pub fn capacity_levels(py: Python<'_>, asked: Asked<'_>, window: Window) -> PyResult<Found<Leveled>> {
    guarded(py, || {
        let given = asked.import()?;
        py.detach(|| {
            given.run(|checked, groups| {
                let period = window.period(checked)?;
                let open = match &window.hours {
                    None => vec![all(period)],
                    Some((days, from, to, holidays)) => {
                        let business = Business { days: *days, from: *from, to: *to, holidays: holidays.clone() };
                        window.zones()?.iter().map(|zone| open(zone, &business, period)).collect()
                    }
                };
                let clock = window.clocks(groups);
                let found = levels(checked, Counted { period, open: &open, clock: &clock })?;
                let rows = || {
                    found.iter().enumerate().flat_map(|(group, found)| found.levels.iter().map(move |row| (group, row)))
                };
                let levels = Columns::default()
                    .numbers::<UInt32Type>("group", rows().map(|(group, _)| group as u32).collect::<Vec<_>>(), None)
                    .numbers::<UInt32Type>("level", rows().map(|(_, row)| row.0).collect::<Vec<_>>(), None)
                    .numbers::<Int64Type>("time", rows().map(|(_, row)| row.1).collect::<Vec<_>>(), None)
                    .numbers::<UInt64Type>("requests", rows().map(|(_, row)| row.2).collect::<Vec<_>>(), None)
                    .finish();
                let sums = Columns::default()
                    .times(
                        "peak_at",
                        found.iter().map(|found| found.peak_at.unwrap_or(NO_TIME)).collect::<Vec<_>>(),
                        Some(NO_TIME),
                    )
                    .numbers::<Int64Type>("used", found.iter().map(|found| found.used).collect::<Vec<_>>(), None)
                    .finish();
                let length = |open: &Vec<(i64, i64)>| -> i64 {
                    open.iter().map(|&(from, to)| (to.min(period.until) - from).max(0)).sum()
                };
                Ok((levels, sums, (period.since, period.until), open.iter().map(length).collect()))
            })
        })
    })
}

/// For each group and hour of the week the use, the peak, and how long the hour is there; then as above.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts the window by value")]
pub fn heat_cells(py: Python<'_>, asked: Asked<'_>, window: Window) -> PyResult<Found<Table>> {
    guarded(py, || {
        let given = asked.import()?;
        py.detach(|| {
            given.run(|checked, groups| {
                let clock = window.clocks(groups);
                let (found, lengths) = heat(checked, window.period(checked)?, &window.zones()?, &clock)?;
                let times: Vec<i64> = clock.iter().flat_map(|&clock| lengths[clock as usize].iter().copied()).collect();
                let rows = 0..(found.len() * CELLS) as u32;
                let cells = CELLS as u32;
                Ok(Columns::default()
                    .numbers::<UInt32Type>("group", rows.clone().map(|row| row / cells).collect::<Vec<_>>(), None)
                    .numbers::<UInt8Type>("cell", rows.map(|row| (row % cells) as u8).collect::<Vec<_>>(), None)
                    .numbers::<Int64Type>(
                        "used",
                        found.iter().flat_map(|found| found.used.clone()).collect::<Vec<_>>(),
                        None,
                    )
                    .numbers::<Int64Type>("time", times, None)
                    .numbers::<UInt32Type>(
                        "peak",
                        found.iter().flat_map(|found| found.peak.clone()).collect::<Vec<_>>(),
                        None,
                    )
                    .finish())
            })
        })
    })
}
