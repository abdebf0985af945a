//! Zones of the bundled database: their names, and local times as instants.

use std::sync::Arc;

use arrow_array::BooleanArray;
use pyo3::prelude::*;
use tokenflex_core::meter::NO_TIME;
use tokenflex_core::time::zone::Zone;

use crate::arrow::{self, Columns, Table};
use crate::error::guarded;

/// The name of a zone as the database spells it.
#[pyfunction]
pub fn check_zone(py: Python<'_>, name: &str) -> PyResult<String> {
    guarded(py, || Ok(Zone::get(name)?.name().to_owned()))
}

/// A column `local`, local times of a zone marked as if they were UTC, as instants: `time`, and whether the clock skipped
/// it (`in_gap`) or showed it twice (`in_fold`).
#[pyfunction]
pub fn instants(py: Python<'_>, table: &Bound<'_, PyAny>, zone: &str) -> PyResult<Table> {
    guarded(py, || {
        let zone = Zone::get(zone)?;
        let imported = arrow::import(table)?;
        let local = imported.times("local", NO_TIME)?;
        let (times, odd) = py.detach(|| {
            let mut odd = Vec::new();
            let mut instant = |(row, &local): (usize, &i64)| {
                if local == NO_TIME {
                    return NO_TIME;
                }
                let (time, code) = zone.instant(local, i64::MIN);
                odd.extend(code.map(|code| (row, code)));
                time
            };
            let times: Vec<i64> = local.iter().enumerate().map(&mut instant).collect();
            (times, odd)
        });
        let rows = times.len();
        let marked = |wanted: &str| {
            let mut marks = vec![false; rows];
            odd.iter().filter(|&&(_, code)| code == wanted).for_each(|&(row, _)| marks[row] = true);
            Arc::new(BooleanArray::from(marks))
        };
        let (in_gap, in_fold) = (marked("time_in_gap"), marked("time_in_fold"));
        let columns = Columns::default().times("time", times, Some(NO_TIME));
        Ok(columns.array("in_gap", in_gap).array("in_fold", in_fold).finish())
    })
}

/// A column `time`, instants, as what a clock in the zone shows: `local`, marked as if it were UTC.
#[pyfunction]
pub fn local_times(py: Python<'_>, table: &Bound<'_, PyAny>, zone: &str) -> PyResult<Table> {
    guarded(py, || {
        let zone = Zone::get(zone)?;
        let imported = arrow::import(table)?;
        let times = imported.times("time", NO_TIME)?;
        let shown = |&time: &i64| if time == NO_TIME { NO_TIME } else { time + zone.offset_at(time) };
        let local: Vec<i64> = py.detach(|| times.iter().map(shown).collect());
        Ok(Columns::default().times("local", local, Some(NO_TIME)).finish())
    })
}
