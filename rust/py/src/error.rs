//! One mapping from what goes wrong in Rust to the exceptions of `tokenflex.errors`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokenflex_core::Error;

/// A bad table: which column, and what to do about it.
#[derive(Debug)]
pub enum TableError {
    /// The object has no Arrow stream.
    NoTable(String),
    /// The stream failed.
    Stream(String),
    /// A column that the verb needs is not there.
    MissingColumn { column: &'static str, present: Vec<String> },
    /// A column of a type that cannot be taken for what is needed.
    ColumnType { column: &'static str, found: String, needed: &'static str },
    /// A column with a value that cannot be taken.
    ColumnValue { column: &'static str, row: usize, message: String },
}

/// Everything that an exported function can fail with.
#[derive(Debug)]
pub enum Failure {
    /// From the core.
    Core(Error),
    /// From the boundary.
    Table(TableError),
    /// From Python itself.
    Python(PyErr),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

/// Runs the body of an exported function. A panic inside is a defect of ours and surfaces as an ordinary exception.
pub fn guarded<T>(py: Python<'_>, body: impl FnOnce() -> Result<T, Failure>) -> PyResult<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(failure)) => Err(raise(py, failure)),
        Err(panic) => Err(exception(py, "InternalError", &panic_message(&*panic), &[])),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    format!("a defect in tokenflex, please report it: {text}")
}

fn raise(py: Python<'_>, failure: Failure) -> PyErr {
    match failure {
        Failure::Python(error) => error,
        Failure::Core(error) => raise_core(py, &error),
        Failure::Table(error) => raise_table(py, error),
    }
}

fn raise_core(py: Python<'_>, error: &Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::UnknownZone { name } => exception(py, "ZoneError", &message, &[("location", name)]),
        Error::MissingZone { source_name } => exception(py, "ZoneError", &message, &[("location", source_name)]),
        Error::ServerWithoutZone { server, .. } => exception(py, "ZoneError", &message, &[("location", server)]),
        Error::Io { source_name, .. } | Error::WrongKind { source_name, .. } | Error::Changed { source_name, .. } => {
            exception(py, "SourceError", &message, &[("location", source_name)])
        }
        Error::Invalid { argument, .. } => exception(py, "ArgumentError", &message, &[("location", argument)]),
        Error::ReachesBack { row } => {
            let row = row.to_string();
            exception(py, "ColumnValueError", &message, &[("column", "start"), ("row", &row)])
        }
        Error::OutOfTokens { place, is_booking: false, .. } => {
            let row = place.to_string();
            exception(py, "BalanceError", &message, &[("column", "tokens"), ("row", &row)])
        }
        Error::OutOfTokens { .. } => exception(py, "BalanceError", &message, &[("location", "bookings")]),
        Error::TooLarge { .. } => exception(py, "CapacityError", &message, &[]),
        Error::Interrupted => pyo3::exceptions::PyKeyboardInterrupt::new_err(()),
    }
}

fn raise_table(py: Python<'_>, error: TableError) -> PyErr {
    match error {
        TableError::NoTable(found) => exception(
            py,
            "TableTypeError",
            &format!(
                "expected a table (polars, pyarrow, pandas, DuckDB or any object with __arrow_c_stream__), not {found}"
            ),
            &[],
        ),
        TableError::Stream(message) => exception(py, "SourceError", &message, &[]),
        TableError::MissingColumn { column, present } => exception(
            py,
            "MissingColumnError",
            &format!("column {column:?} is missing; the table has: {}", present.join(", ")),
            &[("column", column)],
        ),
        TableError::ColumnType { column, found, needed } => exception(
            py,
            "ColumnTypeError",
            &format!("column {column:?} is {found}, but has to be {needed}"),
            &[("column", column)],
        ),
        TableError::ColumnValue { column, row, message } => {
            let row = row.to_string();
            exception(py, "ColumnValueError", &message, &[("column", column), ("row", &row)])
        }
    }
}

/// An exception of `tokenflex.errors` by its class's name.
fn exception(py: Python<'_>, class: &str, message: &str, fields: &[(&str, &str)]) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let class = py.import("tokenflex.errors")?.getattr(class)?;
        let arguments = PyDict::new(py);
        for &(name, value) in fields {
            if name == "row" {
                arguments.set_item(name, value.parse::<u64>().unwrap_or_default())?;
            } else {
                arguments.set_item(name, value)?;
            }
        }
        Ok(PyErr::from_value(class.call((message,), Some(&arguments))?))
    };
    build().unwrap_or_else(|error| error)
}
