//! How `tokenflex.reconcile` finds what stands against what.

use std::borrow::Cow;

use arrow_array::types::UInt32Type;
use pyo3::prelude::*;
use tokenflex_core::intern::NONE;
use tokenflex_core::matching::{How, Lines, matched};
use tokenflex_core::meter::NO_TIME;

use crate::arrow::{self, Columns, Imported, Table, joined};
use crate::error::{Failure, guarded};

/// The pairs of two sides, as places in both.
#[pyfunction]
#[pyo3(signature = (ours, vendors, *, by_days, reach))]
pub fn matched_lines(
    py: Python<'_>,
    ours: &Bound<'_, PyAny>,
    vendors: &Bound<'_, PyAny>,
    by_days: bool,
    reach: i64,
) -> PyResult<Table> {
    guarded(py, || {
        let (ours, vendors) = (arrow::import(ours)?, arrow::import(vendors)?);
        py.detach(|| run(&ours, &vendors, How { by_days, reach }))
    })
}

fn run(ours: &Imported, vendors: &Imported, how: How) -> Result<Table, Failure> {
    let (own, other) = (Side::of(ours)?, Side::of(vendors)?);
    let is_manual: Vec<bool> = joined(vendors.numbers("is_manual", 0)?).iter().map(|&flag| flag == 1).collect();
    let pairs = matched(&own.lines(), &other.lines(), &is_manual, how);
    Ok(Columns::default()
        .numbers::<UInt32Type>("o", pairs.ours, None)
        .numbers::<UInt32Type>("v", pairs.vendors, None)
        .finish())
}

/// The columns of one side.
struct Side<'a> {
    payer: Cow<'a, [u32]>,
    product: Cow<'a, [u32]>,
    at: Cow<'a, [i64]>,
    date: Cow<'a, [u32]>,
}

impl<'a> Side<'a> {
    fn of(side: &'a Imported) -> Result<Self, Failure> {
        let numbers = |name| side.numbers(name, NONE).map(joined);
        let at = side.times("charged_at", NO_TIME)?;
        Ok(Self { payer: numbers("payer")?, product: numbers("line")?, at, date: numbers("date")? })
    }

    fn lines(&self) -> Lines<'_> {
        Lines { payer: &self.payer, product: &self.product, at: &self.at, date: &self.date }
    }
}
