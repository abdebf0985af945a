//! `tokenflex.charge`, `categorize`, `Meter`, `prepare` and `replay`.

use std::sync::{Mutex, PoisonError};

use arrow_array::types::{UInt8Type, UInt64Type};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tokenflex_core::Error;
use tokenflex_core::intern::Interner;
use tokenflex_core::meter::categorize::{NO_CHARGE, Outcomes, categorize as outcomes_of};
use tokenflex_core::meter::charges::without_rate;
use tokenflex_core::meter::idle::Known;
use tokenflex_core::meter::rates::NO_RATE;
use tokenflex_core::meter::replay::{ByKey, total};
use tokenflex_core::meter::save::{Row, WIDTH};
use tokenflex_core::meter::{self, Charges, Idle, Meter as CoreMeter, NO_TIME, RowProblem, Sessions, check};

use crate::arrow::{self, Columns as TableColumns, Table};
use crate::error::{Failure, guarded};
use crate::input::{Columns, Wanted, import, known_of};
use crate::terms::{Binding, Names, Terms, check_families};

/// Charges, rows that could not be charged, and products without a rate with the number of their charges.
type Charged = (Table, Table, Vec<(String, u64)>);

/// Charges a table of sessions, or a prepared one.
#[pyfunction]
#[pyo3(signature = (sessions, coded, *, terms, as_of, activity))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts `Terms` by value")]
pub fn charge(
    py: Python<'_>,
    sessions: &Bound<'_, PyAny>,
    coded: &Bound<'_, PyDict>,
    terms: Terms,
    as_of: Option<i64>,
    activity: Option<&Bound<'_, PyAny>>,
) -> PyResult<Charged> {
    guarded(py, || {
        run(py, sessions, coded, &terms, activity, |sessions, names, known| {
            let binding = Binding::of(&terms, names)?;
            let rule = terms.rule(&binding);
            let pushed = meter::charge(sessions, &rule, &binding.rates, idle_of(&terms, known), as_of, threads())?;
            Ok((pushed.charges, pushed.problems))
        })
        .map(|((charges, problems), names)| charged(charges, &problems, &names, 0))
    })
}

/// Says of each session what became of it; gives the charges as well.
#[pyfunction]
#[pyo3(signature = (sessions, coded, *, terms, as_of, activity))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts `Terms` by value")]
pub fn categorize(
    py: Python<'_>,
    sessions: &Bound<'_, PyAny>,
    coded: &Bound<'_, PyDict>,
    terms: Terms,
    as_of: Option<i64>,
    activity: Option<&Bound<'_, PyAny>>,
) -> PyResult<(Table, Charged)> {
    guarded(py, || {
        let ((outcomes, charges, problems), names) =
            run(py, sessions, coded, &terms, activity, |sessions, names, known| {
                let binding = Binding::of(&terms, names)?;
                let rule = terms.rule(&binding);
                let closed = check::closed(&sessions, as_of);
                let sessions = Sessions { end: closed.as_deref().unwrap_or(sessions.end), ..sessions };
                let summary = check::summarize(&sessions, &rule);
                let (rows, problems) = check::rows_in_order(&sessions, &summary, &rule);
                let idle = idle_of(&terms, known);
                let charges = meter::charge(sessions, &rule, &binding.rates, idle, None, threads())?.charges;
                let outcomes = outcomes_of(&sessions, rows.as_deref(), &charges, &rule);
                Ok((outcomes, charges, problems))
            })?;
        let table = outcomes_table(outcomes, &charges);
        Ok((table, charged(charges, &problems, &names, 0)))
    })
}

/// How many threads there are to use.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn idle_of<'a>(terms: &Terms, known: Option<&'a Known>) -> Option<Idle<'a>> {
    Some(Idle { after: terms.idle_after?, known: known? })
}

/// Brings in the sessions, detached from the interpreter runs `body` over them, and gives the names as well.
pub fn run<T: Send>(
    py: Python<'_>,
    sessions: &Bound<'_, PyAny>,
    coded: &Bound<'_, PyDict>,
    terms: &Terms,
    activity: Option<&Bound<'_, PyAny>>,
    body: impl FnOnce(Sessions<'_>, &Names, Option<&Known>) -> Result<T, Failure> + Send,
) -> Result<(T, Names), Failure> {
    check_families(terms)?;
    let activity = activity.map(arrow::import).transpose()?;
    if let Ok(prepared) = sessions.cast::<Prepared>() {
        let prepared = prepared.get();
        let result = py.detach(|| {
            let names = prepared.names();
            let known = activity.map(|table| known_of(&table, &names)).transpose()?;
            body(prepared.columns.sessions(), &names, known.as_ref()).map(|result| (result, names))
        })?;
        return Ok(result);
    }
    let imported = import(sessions, coded)?;
    py.detach(|| {
        let mut names = Names::default();
        let columns = Columns::of(&imported, Wanted::by(terms, &imported), &mut names)?;
        let known = activity.as_ref().map(|table| known_of(table, &names)).transpose()?;
        body(columns.sessions(), &names, known.as_ref()).map(|result| (result, names))
    })
}

/// Sessions encoded once, for verbs to run over again and again.
#[pyclass(frozen, module = "tokenflex._core")]
pub struct Prepared {
    columns: Columns<'static>,
    by_key: ByKey,
    user: Interner,
    product: Interner,
    server: Interner,
    host: Interner,
}

#[pymethods]
impl Prepared {
    /// Encodes a table of sessions.
    #[new]
    #[pyo3(signature = (sessions, coded, *, as_of))]
    fn new(
        py: Python<'_>,
        sessions: &Bound<'_, PyAny>,
        coded: &Bound<'_, PyDict>,
        as_of: Option<i64>,
    ) -> PyResult<Self> {
        guarded(py, || {
            let imported = import(sessions, coded)?;
            py.detach(|| {
                let mut names = Names::default();
                let columns = Columns::of(&imported, Wanted::all(&imported), &mut names)?.into_owned(as_of);
                let by_key = ByKey::new(&columns.sessions());
                let Names { user, product, server, host } = names;
                Ok(Self { columns, by_key, user, product, server, host })
            })
        })
    }

    fn __len__(&self) -> usize {
        self.columns.sessions().len()
    }
}

impl Prepared {
    /// As the core takes them.
    pub fn sessions(&self) -> Sessions<'_> {
        self.columns.sessions()
    }

    /// The copy that plain rules run over.
    pub fn by_key(&self) -> &ByKey {
        &self.by_key
    }

    /// The names behind the codes.
    pub fn names(&self) -> Names {
        Names {
            user: self.user.clone(),
            product: self.product.clone(),
            server: self.server.clone(),
            host: self.host.clone(),
        }
    }
}

/// For each of the terms: charges, tokens in 1/10,000, and charges without a rate. Calls `progress` after each.
#[pyfunction]
#[pyo3(signature = (prepared, terms, *, progress))]
pub fn replay(
    py: Python<'_>,
    prepared: &Bound<'_, Prepared>,
    terms: &Bound<'_, PyList>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<(u64, i128, u64)>> {
    guarded(py, || {
        let prepared = prepared.get();
        let names = prepared.names();
        let mut totals = Vec::with_capacity(terms.len());
        let mut last: Option<(Terms, Binding)> = None;
        for terms in terms {
            let terms: Terms = terms.extract()?;
            check_families(&terms)?;
            let mut binding = last.map(|(of, binding)| binding.reused(&of, &terms)).unwrap_or_default();
            let found = py.detach(|| {
                binding.renew(&terms, &names)?;
                total(&prepared.by_key, &prepared.columns.sessions(), &terms.rule(&binding), &binding.rates)
            })?;
            last = Some((terms, binding));
            totals.push((found.charges, found.tokens, found.without_rate));
            py.check_signals()?;
            if let Some(progress) = progress {
                progress.call1((totals.len(),))?;
            }
        }
        Ok(totals)
    })
}

/// Metering of a stream, batch after batch.
#[pyclass(frozen, module = "tokenflex._core")]
pub struct Meter {
    state: Mutex<Option<State>>,
}

struct State {
    meter: CoreMeter,
    terms: Terms,
    names: Names,
    binding: Binding,
}

impl State {
    fn new(terms: Terms) -> Result<Self, Failure> {
        check_families(&terms)?;
        let names = Names::default();
        let binding = Binding::of(&terms, &names)?;
        let meter = CoreMeter::new(&terms.rule(&binding), terms.idle_after.is_some(), threads());
        Ok(Self { meter, terms, names, binding })
    }
}

fn finished() -> Failure {
    Error::Invalid { argument: "meter", message: "the meter is finished: make a new one".to_owned() }.into()
}

#[pymethods]
impl Meter {
    /// A meter at its beginning.
    #[new]
    fn new(py: Python<'_>, terms: Terms) -> PyResult<Self> {
        guarded(py, || Ok(Self { state: Mutex::new(Some(State::new(terms)?)) }))
    }

    /// Takes the next sessions.
    #[pyo3(signature = (sessions, coded, *, activity))]
    fn push(
        &self,
        py: Python<'_>,
        sessions: &Bound<'_, PyAny>,
        coded: &Bound<'_, PyDict>,
        activity: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Charged> {
        guarded(py, || {
            let imported = import(sessions, coded)?;
            let activity = activity.map(arrow::import).transpose()?;
            py.detach(|| {
                let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                let State { meter, terms, names, binding } = guard.as_mut().ok_or_else(finished)?;
                let columns = Columns::of(&imported, Wanted::by(terms, &imported), names)?;
                binding.renew(terms, names)?;
                let known = activity.as_ref().map(|table| known_of(table, names)).transpose()?;
                let rule = terms.rule(binding);
                let nothing = Known::default();
                let idle = terms.idle_after.map(|after| Idle { after, known: known.as_ref().unwrap_or(&nothing) });
                let base = meter.rows();
                let pushed = meter.push(&columns.sessions(), &rule, &binding.rates, idle, false)?;
                Ok(charged(pushed.charges, &pushed.problems, names, base))
            })
        })
    }

    /// Settles the rest; after that the meter is of no use any more.
    fn finish(&self, py: Python<'_>, as_of: Option<i64>) -> PyResult<Charged> {
        guarded(py, || {
            py.detach(|| {
                let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                guard.as_ref().ok_or_else(finished)?.meter.check_as_of(as_of)?;
                let State { meter, terms, names, binding } = guard.take().ok_or_else(finished)?;
                let charges = meter.finish(&terms.rule(&binding), &binding.rates, terms.idle_after, as_of)?;
                Ok(charged(charges, &[], &names, 0))
            })
        })
    }

    /// The latest start so far.
    fn latest_start(&self, py: Python<'_>) -> PyResult<i64> {
        guarded(py, || {
            let guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(guard.as_ref().ok_or_else(finished)?.meter.latest_start())
        })
    }

    /// The state as a table: names, then numbers.
    fn save(&self, py: Python<'_>) -> PyResult<Table> {
        guarded(py, || {
            let guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let State { meter, names, .. } = guard.as_ref().ok_or_else(finished)?;
            Ok(state_table(names, &meter.save()))
        })
    }

    /// A meter from a saved state.
    #[staticmethod]
    fn restore(py: Python<'_>, terms: Terms, state: &Bound<'_, PyAny>) -> PyResult<Self> {
        guarded(py, || {
            let (names, rows) = state_of(&arrow::import(state)?)?;
            check_families(&terms)?;
            let binding = Binding::of(&terms, &names)?;
            let meter = CoreMeter::restore(
                &terms.rule(&binding),
                terms.idle_after.is_some(),
                threads(),
                binding.sizes(&names),
                &rows,
            )?;
            Ok(Self { state: Mutex::new(Some(State { meter, terms, names, binding })) })
        })
    }
}

/// The kinds of rows that hold names, in the order of [`Names`].
const NAME_KINDS: [&str; 4] = ["user", "product", "server", "host"];

fn state_table(names: &Names, rows: &[Row]) -> Table {
    let mut kinds = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    let mut numbers = vec![Vec::new(); WIDTH];
    for (kind, names) in NAME_KINDS.iter().zip([&names.user, &names.product, &names.server, &names.host]) {
        for name in names.iter() {
            kinds.push((*kind).to_owned());
            texts.push(String::from_utf8_lossy(name).into_owned());
            for column in &mut numbers {
                column.push(0);
            }
        }
    }
    for row in rows {
        kinds.push(row.kind.clone());
        texts.push(String::new());
        for (column, &number) in numbers.iter_mut().zip(&row.numbers) {
            column.push(number);
        }
    }
    let mut columns = TableColumns::default().texts("kind", &kinds).texts("name", &texts);
    for (place, column) in numbers.into_iter().enumerate() {
        columns = columns.numbers::<arrow_array::types::Int64Type>(&format!("n{place}"), column, None);
    }
    columns.finish()
}

fn state_of(table: &arrow::Imported) -> Result<(Names, Vec<Row>), Failure> {
    let kinds = table.texts("kind")?;
    let texts = table.texts("name")?;
    let columns = (0..WIDTH).map(|place| table.integers(&format!("n{place}"))).collect::<Result<Vec<_>, _>>()?;
    let mut names = Names::default();
    let mut rows = Vec::new();
    for (at, kind) in kinds.into_iter().enumerate() {
        let known = match NAME_KINDS.iter().position(|name| *name == kind) {
            Some(0) => &mut names.user,
            Some(1) => &mut names.product,
            Some(2) => &mut names.server,
            Some(_) => &mut names.host,
            None => {
                let mut numbers = [0; WIDTH];
                for (number, column) in numbers.iter_mut().zip(&columns) {
                    *number = column[at];
                }
                rows.push(Row { kind, numbers });
                continue;
            }
        };
        known.intern(texts[at].as_bytes());
    }
    Ok((names, rows))
}

fn charged(charges: Charges, problems: &[RowProblem], names: &Names, base: u64) -> Charged {
    let missing = without_rate(&charges).into_iter();
    let missing = missing.map(|(code, count)| (String::from_utf8_lossy(names.product.get(code)).into_owned(), count));
    let missing = missing.collect();
    (charges_table(charges, names), problems_table(problems, base), missing)
}

fn charges_table(charges: Charges, names: &Names) -> Table {
    let rows = charges.len();
    TableColumns::default()
        .names("user", charges.user, &names.user, rows)
        .names("product", charges.product, &names.product, rows)
        .names("server", charges.server, &names.server, rows)
        .times("charged_at", charges.charged_at, None)
        .times("window_end", charges.window_end, None)
        .dates("usage_date", charges.usage_date)
        .numbers::<UInt8Type>("category", charges.category, None)
        .numbers::<UInt8Type>("trigger", charges.trigger, None)
        .tokens("tokens", charges.tokens, NO_RATE)
        .numbers::<UInt64Type>("session", charges.session, None)
        .finish()
}

pub fn problems_table(problems: &[RowProblem], base: u64) -> Table {
    let mut codes = Interner::new();
    let code: Vec<u32> = problems.iter().map(|problem| codes.intern(problem.fault.code().as_bytes())).collect();
    let rows: Vec<u64> = problems.iter().map(|problem| base + u64::from(problem.row)).collect();
    TableColumns::default()
        .numbers::<UInt64Type>("location", rows, None)
        .names("code", code, &codes, problems.len())
        .finish()
}

fn outcomes_table(outcomes: Outcomes, charges: &Charges) -> Table {
    let ends: Vec<i64> = outcomes
        .charge
        .iter()
        .map(|&charge| charges.window_end.get(charge as usize).copied().unwrap_or(NO_TIME))
        .collect();
    TableColumns::default()
        .numbers::<UInt8Type>("category", outcomes.category, Some(Outcomes::UNKNOWN))
        .numbers::<UInt64Type>("charge", outcomes.charge, Some(NO_CHARGE))
        .times("window_start", outcomes.window_start, Some(NO_TIME))
        .times("window_end", ends, Some(NO_TIME))
        .finish()
}
