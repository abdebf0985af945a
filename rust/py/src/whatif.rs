//! `tokenflex.zone_whatif`: what sites pay, and would pay if all days were those of one zone.

use arrow_array::types::{UInt32Type, UInt64Type};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokenflex_core::Error;
use tokenflex_core::meter::whatif::{BySite, Sites, as_it_is, by_zone};
use tokenflex_core::time::zone::Zone;

use crate::arrow::{self, Columns, Table, joined};
use crate::charge::{problems_table, run, threads};
use crate::error::guarded;
use crate::input::known_sites;
use crate::terms::{Binding, Names, Terms};

/// The totals, rows that could not be charged, and products some of whose charges have no rate.
type Found = (Table, Table, Vec<String>);

/// The totals of each site: for each zone in turn, or under the terms as they are where no zones are given.
#[pyfunction]
#[pyo3(signature = (sessions, coded, *, sites, terms, zones, as_of))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts `Terms` by value")]
pub fn site_totals(
    py: Python<'_>,
    sessions: &Bound<'_, PyAny>,
    coded: &Bound<'_, PyDict>,
    sites: (Bound<'_, PyAny>, usize),
    terms: Terms,
    zones: Option<Vec<String>>,
    as_of: Option<i64>,
) -> PyResult<Found> {
    guarded(py, || {
        let imported = arrow::import(&sites.0)?;
        let codes = joined(imported.numbers("site", 0)?);
        let of_rows = Sites { codes: &codes, count: sites.1 };
        let (found, names) = run(py, sessions, coded, &terms, None, |sessions, names, _| {
            known_sites(of_rows, sessions.len())?;
            let binding = Binding::of(&terms, names)?;
            let (rule, rates) = (terms.rule(&binding), &binding.rates);
            let Some(zones) = &zones else {
                return Ok(as_it_is(sessions, &rule, rates, of_rows, as_of, threads())?);
            };
            let zones = zones.iter().map(|zone| Zone::get(zone)).collect::<Result<Vec<_>, Error>>()?;
            Ok(by_zone(sessions, &rule, rates, of_rows, (&zones, terms.day_start()), as_of, threads())?)
        })?;
        Ok((totals_table(&found, sites.1), problems_table(&found.problems, 0), products(&found, &names)))
    })
}

fn totals_table(found: &BySite, sites: usize) -> Table {
    let places = 0..found.totals.len();
    let number = |pick: fn(usize, usize) -> usize| -> Vec<u32> {
        places.clone().map(|place| pick(place, sites.max(1)) as u32).collect()
    };
    let sessions: Vec<u64> = places.clone().map(|place| found.sessions[place % sites.max(1)]).collect();
    Columns::default()
        .numbers::<UInt32Type>("zone", number(|place, sites| place / sites), None)
        .numbers::<UInt32Type>("site", number(|place, sites| place % sites), None)
        .numbers::<UInt64Type>("sessions", sessions, None)
        .numbers::<UInt64Type>("charges", found.totals.iter().map(|total| total.charges).collect::<Vec<_>>(), None)
        .tokens("tokens", found.totals.iter().map(|total| total.tokens).collect::<Vec<_>>(), i128::MIN)
        .numbers::<UInt64Type>(
            "charges_without_rate",
            found.totals.iter().map(|total| total.without_rate).collect::<Vec<_>>(),
            None,
        )
        .finish()
}

fn products(found: &BySite, names: &Names) -> Vec<String> {
    let missing = found.without_rate.iter().enumerate().filter(|&(_, &misses)| misses);
    missing.map(|(code, _)| String::from_utf8_lossy(names.product.get(code as u32)).into_owned()).collect()
}
