//! `tokenflex.double_charges`.

use std::collections::HashMap;

use arrow_array::types::{UInt8Type, UInt32Type, UInt64Type};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokenflex_core::Result;
use tokenflex_core::doubles::{Charges, Fault, Names, Stays, Terms as CoreTerms, find};
use tokenflex_core::intern::{Interner, NONE};
use tokenflex_core::meter::NO_TIME;
use tokenflex_core::meter::rates::NO_RATE;
use tokenflex_core::time::day::Days;
use tokenflex_core::time::zone::Zone;
use tokenflex_core::time::{MAX_TIME, MIN_TIME};

use crate::arrow::{self, Columns, Imported, Table, joined};
use crate::error::{Failure, guarded};

/// Who is who, what is what, where people are, and what pays for what.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct DoublesTerms {
    /// Spelling and person; not used where the table has a column of persons.
    persons: Vec<(String, String)>,
    /// Product as spelled and product line.
    lines: Vec<(String, String)>,
    /// Product line and family.
    families: Vec<(String, String)>,
    /// Person, from, to (microseconds) and zone.
    stays: Vec<(String, i64, i64, String)>,
    /// Microseconds after midnight at which a working day begins.
    day_start: i64,
    by_days: bool,
    per_server: bool,
}

/// The pairs, and the rows that cannot be judged.
#[pyfunction]
#[pyo3(signature = (charges, coded, *, terms))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts the terms by value")]
pub fn double_charges(
    py: Python<'_>,
    charges: &Bound<'_, PyAny>,
    coded: &Bound<'_, PyDict>,
    terms: DoublesTerms,
) -> PyResult<(Table, Table)> {
    guarded(py, || {
        let imported = arrow::import_coded(charges, coded)?;
        py.detach(|| run(&imported, &terms))
    })
}

fn run(imported: &Imported, terms: &DoublesTerms) -> std::result::Result<(Table, Table), Failure> {
    let (mut users, mut products, mut servers, mut persons) =
        (Interner::new(), Interner::new(), Interner::new(), Interner::new());
    let user = imported.codes_into("user", &mut users)?;
    let product = imported.codes_into("product", &mut products)?;
    let server = column(imported, "server", |name| imported.codes_into(name, &mut servers))?;
    let person = column(imported, "person", |name| imported.codes_into(name, &mut persons))?;
    let numbers = |name| imported.numbers(name, NONE).map(joined);
    let category = column(imported, "category", numbers)?;
    let flags = column(imported, "flags", |name| imported.numbers(name, 0).map(joined))?;
    let tokens = column(imported, "units", |name| imported.integers(name))?;
    let charged_at = imported.times("charged_at", NO_TIME)?;
    let window_end = imported.times("window_end", NO_TIME)?;
    let usage_date = numbers("usage_date")?;
    let person_of = mapped(&users, &terms.persons, &mut persons);
    let mut lines = Interner::new();
    let line_of = mapped(&products, &terms.lines, &mut lines);
    let mut families = Interner::new();
    let family_of = mapped(&lines, &terms.families, &mut families);
    let (calendars, zones, stays) = stays_of(terms, &persons)?;
    let (found, faults) = find(
        &Charges {
            user: &user,
            product: &product,
            person: person.as_deref(),
            server: server.as_deref(),
            charged_at: &charged_at,
            window_end: &window_end,
            usage_date: &usage_date,
            paid: category.as_deref().zip(tokens.as_deref()),
            flags: flags.as_deref(),
        },
        &Names {
            person_of: &person_of,
            persons: persons.len(),
            line_of: &line_of,
            lines: lines.len(),
            family_of: &family_of,
            families: families.len(),
        },
        &CoreTerms { by_days: terms.by_days, per_server: terms.per_server, calendars: &calendars, stays: &stays },
    )?;
    let rows = found.first.len();
    let table = Columns::default()
        .numbers::<UInt64Type>("first", found.first, None)
        .numbers::<UInt64Type>("second", found.second, None)
        .names("user", found.person, &persons, rows)
        .names("product", found.line, &lines, rows)
        .numbers::<UInt32Type>("causes", found.causes, None)
        .numbers::<UInt8Type>("is_claimable", found.is_claimable, None)
        .tokens("due", found.due.into_iter().map(i128::from).collect::<Vec<_>>(), NO_RATE)
        .dates("working_date", found.working_date)
        .names("zone", found.calendar, &zones, rows)
        .finish();
    Ok((table, faults_table(&faults)))
}

fn column<'a, T, E>(
    imported: &Imported,
    name: &'static str,
    read: impl FnOnce(&'static str) -> std::result::Result<T, E>,
) -> std::result::Result<Option<T>, E>
where
    T: 'a,
{
    imported.has(name).then(|| read(name)).transpose()
}

/// For each name the code of what it stands for, [`NONE`] where nothing is said of it.
fn mapped(names: &Interner, pairs: &[(String, String)], others: &mut Interner) -> Vec<u32> {
    let known: HashMap<&[u8], &str> = pairs.iter().map(|(name, other)| (name.as_bytes(), other.as_str())).collect();
    names.iter().map(|name| known.get(name).map_or(NONE, |other| others.intern(other.as_bytes()))).collect()
}

/// The calendars, their zones, and for each person when it lives by which.
fn stays_of(terms: &DoublesTerms, persons: &Interner) -> Result<(Vec<Days>, Interner, Vec<Stays>)> {
    let mut zones = Interner::new();
    let mut calendars = Vec::new();
    let mut stays = vec![Stays::new(); persons.len()];
    for (person, from, to, zone) in &terms.stays {
        let Some(code) = persons.find(person.as_bytes()) else { continue };
        let calendar = zones.intern(zone.as_bytes());
        if calendar as usize == calendars.len() {
            calendars.push(Days::beginning_at(&Zone::get(zone)?, terms.day_start, MIN_TIME, MAX_TIME));
        }
        stays[code as usize].push((*from, *to, calendar));
    }
    for stays in &mut stays {
        stays.sort_unstable();
    }
    Ok((calendars, zones, stays))
}

fn faults_table(faults: &[(u64, Fault)]) -> Table {
    let mut codes = Interner::new();
    let code: Vec<u32> = faults.iter().map(|(_, fault)| codes.intern(fault.code().as_bytes())).collect();
    let rows: Vec<u64> = faults.iter().map(|&(row, _)| row).collect();
    let count = rows.len();
    Columns::default().numbers::<UInt64Type>("location", rows, None).names("code", code, &codes, count).finish()
}
