//! `tokenflex.charge`.

use std::collections::HashMap;

use arrow_array::types::{UInt8Type, UInt64Type};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokenflex_core::intern::Interner;
use tokenflex_core::meter::charges::without_rate;
use tokenflex_core::meter::rates::NO_RATE;
use tokenflex_core::meter::{self, Charges, NO_TIME, OPEN, Rates, RowProblem, Rule, Sessions, Window};
use tokenflex_core::time::day::Days;
use tokenflex_core::time::zone::Zone;
use tokenflex_core::time::{MAX_TIME, MIN_TIME};

use crate::arrow::{self, Codes, Columns, Imported, Table};
use crate::error::{Failure, guarded};

/// What `tokenflex.Rule` and `tokenflex.Rates` become on this side.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Terms {
    /// A rolling window's length in microseconds; `None` for day windows.
    length: Option<i64>,
    /// The zone of all day windows; `None` when they are the servers'.
    zone: Option<String>,
    /// The zone of each server, for day windows of the servers.
    servers: HashMap<String, String>,
    /// Microseconds.
    min_duration: i64,
    /// Product, in force from (microseconds), tokens in 1/10,000.
    rates: Vec<(String, i64, i128)>,
}

/// Charges, rows that could not be charged, and products without a rate with the number of their charges.
type Charged = (Table, Table, Vec<(String, u64)>);

/// The name of a zone as the database spells it.
#[pyfunction]
pub fn check_zone(py: Python<'_>, name: &str) -> PyResult<String> {
    guarded(py, || Ok(Zone::get(name)?.name().to_owned()))
}

/// Charges a table of sessions.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts `Terms` by value")]
#[pyo3(signature = (sessions, coded, *, terms, as_of))]
pub fn charge(
    py: Python<'_>,
    sessions: &Bound<'_, PyAny>,
    coded: &Bound<'_, PyDict>,
    terms: Terms,
    as_of: Option<i64>,
) -> PyResult<Charged> {
    guarded(py, || {
        let imported = arrow::import_coded(sessions, coded)?;
        let (charges, problems, columns) = py.detach(|| compute(&imported, &terms, as_of))?;
        let missing = without_rate(&charges);
        let missing = missing.into_iter().map(|(code, count)| (columns.product_name(code), count)).collect();
        Ok((charges_table(charges, &columns), problems_table(&problems), missing))
    })
}

/// The names behind the codes of the charges.
struct Names {
    user: Interner,
    product: Interner,
    server: Option<Interner>,
}

impl Names {
    fn product_name(&self, code: u32) -> String {
        String::from_utf8_lossy(self.product.get(code)).into_owned()
    }
}

fn compute(
    imported: &Imported,
    terms: &Terms,
    as_of: Option<i64>,
) -> Result<(Charges, Vec<RowProblem>, Names), Failure> {
    let user = imported.codes("user")?;
    let product = imported.codes("product")?;
    let needs_server = terms.length.is_none() && terms.zone.is_none();
    let server = if needs_server || imported.has("server") { Some(imported.codes("server")?) } else { None };
    let start = imported.times("start", NO_TIME)?;
    let end = imported.times("end", OPEN)?;

    let range = time_range(&start, &end, as_of);
    let (zones, zone_of_server) = day_tables(terms, server.as_ref().filter(|_| needs_server), range)?;
    let window = match terms.length {
        Some(length) => Window::Rolling { length },
        None => Window::Day { zones: &zones, zone_of_server: needs_server.then_some(zone_of_server.as_slice()) },
    };
    let rule = Rule { window, min_duration: terms.min_duration };
    let rates = rates_of(terms, &product.names);

    let (server_rows, server_names) = server.map(|Codes { rows, names }| (rows, names)).unzip();
    let sessions = Sessions {
        user: user.rows,
        product: product.rows,
        server: server_rows,
        start,
        end,
        users: user.names.len(),
        products: product.names.len(),
    };
    let (charges, problems) = meter::charge(sessions, &rule, &rates, as_of)?;
    Ok((charges, problems, Names { user: user.names, product: product.names, server: server_names }))
}

/// The first and the last valid time that days are needed for.
fn time_range(starts: &[i64], ends: &[i64], as_of: Option<i64>) -> (i64, i64) {
    let times = starts.iter().chain(ends).copied().chain(as_of);
    let valid = times.filter(|time| (MIN_TIME..MAX_TIME).contains(time));
    let (from, to) = valid.fold((MAX_TIME, MIN_TIME), |(from, to), time| (from.min(time), to.max(time)));
    (from.min(to), to)
}

/// The days of every zone that occurs, and the zone of each server code.
fn day_tables(
    terms: &Terms,
    servers: Option<&Codes<'_>>,
    (from, to): (i64, i64),
) -> Result<(Vec<Days>, Vec<Option<u32>>), Failure> {
    if terms.length.is_some() {
        return Ok((Vec::new(), Vec::new()));
    }
    let days = |name: &str| Zone::get(name).map(|zone| Days::new(&zone, from, to));
    if let Some(zone) = &terms.zone {
        return Ok((vec![days(zone)?], Vec::new()));
    }
    let Some(servers) = servers else { return Ok((Vec::new(), Vec::new())) };
    let mut zones = Vec::new();
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut zone_of_server = Vec::with_capacity(servers.names.len());
    for server in servers.names.iter() {
        let name = std::str::from_utf8(server).ok().and_then(|server| terms.servers.get(server));
        let Some(name) = name else {
            zone_of_server.push(None);
            continue;
        };
        let place = if let Some(&place) = known.get(name.as_str()) {
            place
        } else {
            zones.push(days(name)?);
            known.insert(name, zones.len() as u32 - 1);
            zones.len() as u32 - 1
        };
        zone_of_server.push(Some(place));
    }
    Ok((zones, zone_of_server))
}

fn rates_of(terms: &Terms, products: &Interner) -> Rates {
    let mut rates = Rates::new(products.len());
    for (product, effective_from, tokens) in &terms.rates {
        if let Some(code) = products.find(product.as_bytes()) {
            rates.add(code, *effective_from, *tokens);
        }
    }
    rates
}

fn charges_table(charges: Charges, names: &Names) -> Table {
    let rows = charges.len();
    let no_server = Interner::new();
    Columns::default()
        .names("user", charges.user, &names.user, rows)
        .names("product", charges.product, &names.product, rows)
        .names("server", charges.server, names.server.as_ref().unwrap_or(&no_server), rows)
        .times("charged_at", charges.charged_at, None)
        .times("window_end", charges.window_end, None)
        .dates("usage_date", charges.usage_date)
        .numbers::<UInt8Type>("trigger", charges.trigger, None)
        .tokens("tokens", charges.tokens, NO_RATE)
        .numbers::<UInt64Type>("session", charges.session, None)
        .finish()
}

fn problems_table(problems: &[RowProblem]) -> Table {
    let mut codes = Interner::new();
    let code: Vec<u32> = problems.iter().map(|problem| codes.intern(problem.fault.code().as_bytes())).collect();
    let rows: Vec<u64> = problems.iter().map(|problem| u64::from(problem.row)).collect();
    Columns::default()
        .numbers::<UInt64Type>("location", rows, None)
        .names("code", code, &codes, problems.len())
        .finish()
}
