//! `Contract.settle`.

use arrow_array::types::{UInt8Type, UInt32Type, UInt64Type};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokenflex_core::Error;
use tokenflex_core::intern::{Interner, NONE};
use tokenflex_core::ledger::{
    Booking, Charges, Entries, Fault, Kind, NO_CHARGE, NO_TOKENS, OnEmpty, Pool, Settled, Terms, Tokens,
    settle as settled,
};
use tokenflex_core::meter::NO_TIME;

use crate::arrow::{self, Columns, Imported, Table, TokenUnits};
use crate::error::{Failure, guarded};

/// What there is to draw from, and how. Times are microseconds, tokens 1/10,000.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct LedgerTerms {
    /// Id, first instant, first instant after the last, tokens and the place of the pool that takes what is left; in the
    /// order in which they are drawn.
    pools: Vec<(String, i64, i64, i64, Option<u32>)>,
    /// Instant, kind, change of the balance and place of the pool.
    bookings: Vec<(i64, String, i64, Option<u32>)>,
    on_empty: String,
    /// Product lines that the contract covers; all where nothing is given.
    products: Option<Vec<String>>,
    as_of: Option<i64>,
    at_least: i64,
}

/// The entries, the rows that were not drawn, the places of bookings that were refused, and the ledger's last instant.
#[pyfunction]
#[pyo3(signature = (charges, coded, *, terms))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts the terms by value")]
pub fn settle(
    py: Python<'_>,
    charges: &Bound<'_, PyAny>,
    coded: &Bound<'_, PyDict>,
    terms: LedgerTerms,
) -> PyResult<(Table, Table, Vec<u32>, i64)> {
    guarded(py, || {
        let imported = arrow::import_coded(charges, coded)?;
        py.detach(|| run(&imported, &terms))
    })
}

fn run(imported: &Imported, terms: &LedgerTerms) -> Result<(Table, Table, Vec<u32>, i64), Failure> {
    let charged_at = imported.times("charged_at", NO_TIME)?;
    let tokens = imported.token_units("tokens", NO_TOKENS)?;
    let mut names = Interner::new();
    let product = match &terms.products {
        None => None,
        Some(products) => {
            let codes = imported.codes_into("product", &mut names)?;
            let is_covered = |name: &[u8]| products.iter().any(|product| product.as_bytes() == name);
            Some((codes, names.iter().map(is_covered).collect::<Vec<_>>()))
        }
    };
    let pools: Vec<Pool> = terms.pools.iter().map(pool_of).collect();
    let bookings = terms.bookings.iter().map(booking_of).collect::<Result<Vec<_>, _>>()?;
    let Settled { entries, faults, refused, as_of } = settled(
        &Charges {
            charged_at: &charged_at,
            tokens: match &tokens {
                TokenUnits::Wide(tokens) => Tokens::Wide(tokens),
                TokenUnits::Narrow(tokens) => Tokens::Narrow(tokens),
            },
            product: product.as_ref().map(|(codes, covered)| (&**codes, covered.as_slice())),
        },
        &Terms {
            pools: &pools,
            bookings: &bookings,
            on_empty: on_empty_of(&terms.on_empty)?,
            as_of: terms.as_of,
            at_least: terms.at_least,
        },
    )?;
    drop(tokens);
    Ok((entries_table(entries, &terms.pools), faults_table(&faults), refused, as_of))
}

fn pool_of(&(_, opens, closes, tokens, carries_to): &(String, i64, i64, i64, Option<u32>)) -> Pool {
    Pool { opens, closes, tokens, carries_to }
}

fn booking_of(booking: &(i64, String, i64, Option<u32>)) -> Result<Booking, Error> {
    let &(at, ref kind, change, pool) = booking;
    let kind = match kind.as_str() {
        "manual_consumption" => Kind::ManualConsumption,
        "adjustment" => Kind::Adjustment,
        "move" => Kind::Move,
        other => return Err(invalid("bookings", format!("there is no booking of kind {other:?}"))),
    };
    Ok(Booking { at, kind, change, pool })
}

fn on_empty_of(name: &str) -> Result<OnEmpty, Error> {
    match name {
        "overage" => Ok(OnEmpty::Overage),
        "refuse" => Ok(OnEmpty::Refuse),
        "error" => Ok(OnEmpty::Error),
        other => Err(invalid("on_empty", format!("on_empty is {other:?}, but has to be overage, refuse or error"))),
    }
}

fn invalid(argument: &'static str, message: String) -> Error {
    Error::Invalid { argument, message }
}

fn entries_table(entries: Entries, pools: &[(String, i64, i64, i64, Option<u32>)]) -> Table {
    // Pools of one id would share a name; their contract refuses them.
    let mut names = Interner::new();
    let codes: Vec<u32> = pools.iter().map(|(id, ..)| names.intern(id.as_bytes())).collect();
    let mut pool = entries.pool;
    if codes.iter().enumerate().any(|(place, &code)| place != code as usize) {
        pool.iter_mut().for_each(|place| *place = codes.get(*place as usize).copied().unwrap_or(NONE));
    }
    let rows = entries.at.len();
    Columns::default()
        .times("at", entries.at, None)
        .numbers::<UInt8Type>("kind", entries.kind, None)
        .names("pool", pool, &names, rows)
        .tokens("tokens", entries.tokens, i128::MIN)
        .tokens("balance_before", entries.before, i128::MIN)
        .tokens("balance_after", entries.after, i128::MIN)
        .numbers::<UInt64Type>("charge", entries.charge, Some(NO_CHARGE))
        .numbers::<UInt32Type>("booking", entries.booking, Some(NONE))
        .finish()
}

fn faults_table(faults: &[(u64, Fault)]) -> Table {
    let mut codes = Interner::new();
    let code: Vec<u32> = faults.iter().map(|(_, fault)| codes.intern(fault.code().as_bytes())).collect();
    let rows: Vec<u64> = faults.iter().map(|&(row, _)| row).collect();
    let count = rows.len();
    Columns::default().numbers::<UInt64Type>("location", rows, None).names("code", code, &codes, count).finish()
}
