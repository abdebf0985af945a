//! Many rules over the same sessions: `tokenflex.infer_rule`, and the other rules that `tokenflex.reconcile` tries.

use std::thread;

use pyo3::prelude::*;
use pyo3::types::PyList;
use tokenflex_core::meter::Rule;
use tokenflex_core::meter::explain::{Claims, explained};
use tokenflex_core::meter::fit::{Copies, DatedUnit, Fit, NOT_COMPARED, Statement, fit};
use tokenflex_core::meter::rates::Rates;
use tokenflex_core::meter::replay::ByKey;

use crate::arrow::{self, Imported, joined};
use crate::charge::{Prepared, threads};
use crate::error::{Failure, guarded};
use crate::terms::{Binding, Names, Terms, check_families};

/// What a statement says, as `tokenflex.infer_rule` hands it over.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Stated {
    /// `session`, `user_day` or `day`.
    level: String,
    /// The first and the last date to compare, in days since 1970-01-01.
    dates: (i32, i32),
    /// How many sessions are stated that the table does not have, with their tokens in 1/10,000.
    others: (u64, i128),
}

/// Matched, missing, extra, differing, error, tokens and print.
type Row = (u64, u64, u64, u64, i128, i128, (u64, u64));

/// For each of the terms how well it fits. Calls `progress` now and then.
#[pyfunction]
#[pyo3(signature = (prepared, terms, stated, units, *, progress))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts `Stated` by value")]
pub fn fit_rules(
    py: Python<'_>,
    prepared: &Bound<'_, Prepared>,
    terms: &Bound<'_, PyList>,
    stated: Stated,
    units: &Bound<'_, PyAny>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<Row>> {
    guarded(py, || {
        let prepared = prepared.get();
        let units = arrow::import(units)?;
        let all: Vec<Terms> = terms.iter().map(|terms| terms.extract()).collect::<PyResult<_>>()?;
        all.iter().try_for_each(check_families)?;
        let (names, sessions) = (prepared.names(), prepared.sessions());
        let is_per_server = all.iter().any(Terms::is_per_server);
        let per_server = py.detach(|| is_per_server.then(|| ByKey::per_server(&sessions)));
        let copies = Copies { contract: prepared.by_key(), per_server: per_server.as_ref() };
        let statement = py.detach(|| statement_of(&stated, &units, &names, copies))?;
        let fits =
            over_rules(py, &all, &names, progress, |rule, rates| fit(&statement, copies, &sessions, rule, rates))?;
        Ok(fits.into_iter().map(row_of).collect())
    })
}

/// For each of the terms the groups of which every session costs what is stated.
#[pyfunction]
pub fn explained_by_rules(
    py: Python<'_>,
    prepared: &Bound<'_, Prepared>,
    terms: &Bound<'_, PyList>,
    claims: &Bound<'_, PyAny>,
    groups: usize,
) -> PyResult<Vec<Vec<u32>>> {
    guarded(py, || {
        let prepared = prepared.get();
        let claims = arrow::import(claims)?;
        let all: Vec<Terms> = terms.iter().map(|terms| terms.extract()).collect::<PyResult<_>>()?;
        all.iter().try_for_each(check_families)?;
        let (names, sessions) = (prepared.names(), prepared.sessions());
        let is_per_server = all.iter().any(Terms::is_per_server);
        let per_server = py.detach(|| is_per_server.then(|| ByKey::per_server(&sessions)));
        let copies = Copies { contract: prepared.by_key(), per_server: per_server.as_ref() };
        let stated = claims.integers("stated")?;
        let group = joined(claims.numbers("group", 0)?);
        let claims = Claims { stated: &stated, group: &group, groups };
        over_rules(py, &all, &names, None, |rule, rates| explained(claims, copies, &sessions, rule, rates))
    })
}

/// What a run of each of the terms gives, as many at a time as there are cores. Calls `progress` now and then.
fn over_rules<T: Send>(
    py: Python<'_>,
    all: &[Terms],
    names: &Names,
    progress: Option<&Bound<'_, PyAny>>,
    run: impl Fn(&Rule<'_>, &Rates) -> tokenflex_core::Result<T> + Sync,
) -> Result<Vec<T>, Failure> {
    let mut workers: Vec<Worker> = (0..threads()).map(|_| Worker::default()).collect();
    let mut done = Vec::with_capacity(all.len());
    for round in all.chunks(workers.len()) {
        let found = py.detach(|| {
            thread::scope(|scope| {
                let run = &run;
                let start = |(worker, terms): (_, &Terms)| {
                    let worker: &mut Worker = worker;
                    let terms = terms.clone();
                    scope.spawn(move || worker.run(terms, names, run))
                };
                let running: Vec<_> = workers.iter_mut().zip(round).map(start).collect();
                let ended =
                    running.into_iter().map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                ended.collect::<Result<Vec<T>, Failure>>()
            })
        })?;
        done.extend(found);
        py.check_signals()?;
        if let Some(progress) = progress {
            progress.call1((done.len(),))?;
        }
    }
    Ok(done)
}

fn row_of(fit: Fit) -> Row {
    let Fit { matched, missing, extra, differing, error, tokens, print } = fit;
    (matched, missing, extra, differing, error, tokens, print)
}

/// One thread's own binding: tables of days are kept from rule to rule.
#[derive(Default)]
struct Worker {
    last: Option<(Terms, Binding)>,
}

impl Worker {
    fn run<T>(
        &mut self,
        terms: Terms,
        names: &Names,
        run: impl Fn(&Rule<'_>, &Rates) -> tokenflex_core::Result<T>,
    ) -> Result<T, Failure> {
        let mut binding = self.last.take().map(|(of, binding)| binding.reused(&of, &terms)).unwrap_or_default();
        binding.renew(&terms, names)?;
        let found = run(&terms.rule(&binding), &binding.rates)?;
        self.last = Some((terms, binding));
        Ok(found)
    }
}

fn statement_of(stated: &Stated, units: &Imported, names: &Names, copies: Copies<'_>) -> Result<Statement, Failure> {
    let tokens = units.integers("tokens")?;
    if stated.level == "session" {
        let compared = units.integers("compared")?;
        let each = tokens.iter().zip(compared);
        let tokens = each.map(|(&tokens, compared)| if compared == 0 { NOT_COMPARED } else { i128::from(tokens) });
        return Ok(Statement::of_sessions(tokens.collect(), stated.others, copies));
    }
    let by_user = stated.level == "user_day";
    let users = if by_user { units.texts("user")? } else { Vec::new() };
    let products = units.texts("product")?;
    let dates = units.integers("date")?;
    let unit = |row: usize| DatedUnit {
        user: users.get(row).and_then(|user| names.user.find(user.as_bytes())),
        product: names.product.find(products[row].as_bytes()),
        date: i32::try_from(dates[row]).unwrap_or(i32::MAX),
        tokens: i128::from(tokens[row]),
    };
    Ok(Statement::of_dates((0..tokens.len()).map(unit).collect(), stated.dates, by_user))
}
