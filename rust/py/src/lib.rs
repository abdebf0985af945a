//! The Python boundary: Arrow tables in, Arrow tables out, one error mapping. No algorithm lives here.

mod arrow;
mod charge;
mod concurrency;
mod doubles;
mod error;
mod fit;
mod input;
mod ledger;
mod lmstat;
mod matching;
mod pair;
mod read;
mod rlm;
mod spool;
mod terms;
mod whatif;
mod zones;

use pyo3::prelude::*;

/// The compiled part of tokenflex. Call it through the public verbs in `tokenflex`.
// Nothing here leans on the interpreter's lock, but no build without it has run the tests: so it is not declared.
#[pymodule(name = "_core", gil_used = true)]
fn core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("zone_database_version", tokenflex_core::time::zone::database_version())?;
    module.add("is_optimized", !cfg!(debug_assertions))?;
    module.add_class::<arrow::Table>()?;
    module.add_function(wrap_pyfunction!(arrow::dense_codes, module)?)?;
    module.add_function(wrap_pyfunction!(charge::charge, module)?)?;
    module.add_function(wrap_pyfunction!(charge::categorize, module)?)?;
    module.add_function(wrap_pyfunction!(charge::replay, module)?)?;
    module.add_function(wrap_pyfunction!(whatif::site_totals, module)?)?;
    module.add_function(wrap_pyfunction!(fit::fit_rules, module)?)?;
    module.add_function(wrap_pyfunction!(fit::explained_by_rules, module)?)?;
    module.add_function(wrap_pyfunction!(matching::matched_lines, module)?)?;
    module.add_class::<charge::Meter>()?;
    module.add_class::<charge::Prepared>()?;
    module.add_function(wrap_pyfunction!(doubles::double_charges, module)?)?;
    module.add_function(wrap_pyfunction!(ledger::settle, module)?)?;
    module.add_function(wrap_pyfunction!(concurrency::concurrency, module)?)?;
    module.add_function(wrap_pyfunction!(concurrency::capacity_levels, module)?)?;
    module.add_function(wrap_pyfunction!(concurrency::heat_cells, module)?)?;
    module.add_function(wrap_pyfunction!(zones::check_zone, module)?)?;
    module.add_function(wrap_pyfunction!(pair::pair, module)?)?;
    module.add_function(wrap_pyfunction!(pair::held, module)?)?;
    module.add_function(wrap_pyfunction!(pair::pair_on, module)?)?;
    module.add_function(wrap_pyfunction!(pair::package_lines, module)?)?;
    module.add_function(wrap_pyfunction!(read::read_flexlm, module)?)?;
    module.add_function(wrap_pyfunction!(read::read_flexlm_on, module)?)?;
    module.add_class::<spool::Spooled>()?;
    module.add_class::<spool::ServerSessions>()?;
    module.add_function(wrap_pyfunction!(zones::instants, module)?)?;
    module.add_function(wrap_pyfunction!(zones::local_times, module)?)?;
    module.add_function(wrap_pyfunction!(read::text_head, module)?)?;
    module.add_function(wrap_pyfunction!(read::excerpt, module)?)?;
    module.add_function(wrap_pyfunction!(lmstat::read_lmstat, module)?)?;
    module.add_function(wrap_pyfunction!(rlm::read_rlm, module)?)?;
    Ok(())
}
