//! Sessions on their way in: any Arrow table, or a prepared copy.

use std::borrow::Cow;
use std::thread;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokenflex_core::intern::{Interner, NONE};
use tokenflex_core::meter::idle::Known;
use tokenflex_core::meter::whatif::Sites;
use tokenflex_core::meter::{NO_TIME, OPEN, Sessions, check};

use crate::arrow::{self, Imported, THREADS_FROM};
use crate::error::{Failure, TableError};
use crate::terms::{Names, Terms};

/// Which columns are read besides those that every rule needs.
#[derive(Clone, Copy)]
pub struct Wanted {
    server: bool,
    host: bool,
}

impl Wanted {
    /// Those that the rule needs, and the server where there is one, since charges show it.
    pub fn by(terms: &Terms, imported: &Imported) -> Self {
        let host = terms.needs_host() || (terms.idle_after.is_some() && imported.has("host"));
        Self { server: terms.needs_server() || imported.has("server"), host }
    }

    /// All that are there.
    pub fn all(imported: &Imported) -> Self {
        Self { server: imported.has("server"), host: imported.has("host") }
    }
}

/// The columns of sessions, borrowed from an imported table or their own.
pub struct Columns<'a> {
    user: Cow<'a, [u32]>,
    product: Cow<'a, [u32]>,
    server: Option<Cow<'a, [u32]>>,
    host: Option<Cow<'a, [u32]>>,
    start: Cow<'a, [i64]>,
    end: Cow<'a, [i64]>,
    users: usize,
    products: usize,
    hosts: usize,
}

impl<'a> Columns<'a> {
    /// Those of an imported table, in the codes of `names`.
    pub fn of(imported: &'a Imported, wanted: Wanted, names: &mut Names) -> Result<Self, TableError> {
        let Names { user, product, server, host } = names;
        let mut others = || -> Result<_, TableError> {
            let product = imported.codes_into("product", product)?;
            let server = wanted.server.then(|| imported.codes_into("server", server)).transpose()?;
            let host = wanted.host.then(|| imported.codes_into("host", host)).transpose()?;
            Ok((product, server, host))
        };
        // Plain strings have to be hashed row by row: two columns side by side.
        let (user, others) = if imported.rows() < THREADS_FROM {
            (imported.codes_into("user", user), others())
        } else {
            thread::scope(|scope| {
                let running = scope.spawn(|| imported.codes_into("user", user));
                let others = others();
                (running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), others)
            })
        };
        let (user, (product, server, host)) = (user?, others?);
        let start = imported.times("start", NO_TIME)?;
        let end = imported.times("end", OPEN)?;
        let (users, products, hosts) = (names.user.len(), names.product.len(), names.host.len());
        Ok(Self { user, product, server, host, start, end, users, products, hosts })
    }

    /// The same with columns of their own; what is open is closed.
    pub fn into_owned(self, as_of: Option<i64>) -> Columns<'static> {
        let closed = check::closed(&self.sessions(), as_of);
        Columns {
            user: self.user.into_owned().into(),
            product: self.product.into_owned().into(),
            server: self.server.map(|column| column.into_owned().into()),
            host: self.host.map(|column| column.into_owned().into()),
            start: self.start.into_owned().into(),
            end: closed.unwrap_or_else(|| self.end.into_owned()).into(),
            users: self.users,
            products: self.products,
            hosts: self.hosts,
        }
    }

    /// As the core takes them.
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions {
            user: &self.user,
            product: &self.product,
            server: self.server.as_deref(),
            host: self.host.as_deref(),
            start: &self.start,
            end: &self.end,
            users: self.users,
            products: self.products,
            hosts: self.hosts,
        }
    }
}

/// Activity (`time`) or idle stretches (`start`, `end`) of users, in the codes of the sessions' names.
///
/// Users, hosts and products that the sessions do not have are of no interest.
pub fn known_of(table: &Imported, names: &Names) -> Result<Known, Failure> {
    let user = renumbered(table, "user", &names.user)?;
    let optional = |column, known| {
        if table.has(column) { renumbered(table, column, known) } else { Ok(Cow::from(vec![NONE; table.rows()])) }
    };
    let host = optional("host", &names.host)?;
    let product = optional("product", &names.product)?;
    // A name that the sessions do not have must not turn into "any".
    let whose = |row: usize| {
        let whose = (user[row], host[row], product[row]);
        (whose.0 < UNKNOWN && whose.1 != UNKNOWN && whose.2 != UNKNOWN).then_some(whose)
    };
    let users = names.user.len();
    if table.has("time") {
        let times = table.times("time", NO_TIME)?;
        let rows = times.iter().enumerate().filter(|&(_, &at)| at != NO_TIME);
        return Ok(Known::of_activity(users, rows.filter_map(|(row, &at)| Some((whose(row)?, at)))));
    }
    let (from, to) = (table.times("start", NO_TIME)?, table.times("end", NO_TIME)?);
    let rows = from.iter().zip(&*to).enumerate().filter(|&(_, (&from, &to))| from != NO_TIME && to != NO_TIME);
    Ok(Known::of_idle(users, rows.filter_map(|(row, (&from, &to))| Some((whose(row)?, from, to)))))
}

/// The code of a name that the sessions do not have.
const UNKNOWN: u32 = NONE - 1;

fn renumbered<'a>(table: &'a Imported, column: &'static str, known: &Interner) -> Result<Cow<'a, [u32]>, TableError> {
    let mut names = Interner::new();
    let codes = table.codes_into(column, &mut names)?;
    let map: Vec<u32> = names.iter().map(|name| known.find(name).unwrap_or(UNKNOWN)).collect();
    Ok(codes.iter().map(|&code| map.get(code as usize).copied().unwrap_or(NONE)).collect())
}

/// Imports a table of sessions with the columns of names that come apart.
pub fn import(table: &Bound<'_, PyAny>, coded: &Bound<'_, PyDict>) -> Result<Imported, Failure> {
    arrow::import_coded(table, coded)
}

/// Refuses sites that are not those of these sessions, row by row.
pub fn known_sites(sites: Sites<'_>, rows: usize) -> Result<(), tokenflex_core::Error> {
    if sites.codes.len() == rows && sites.codes.iter().all(|&code| (code as usize) < sites.count) {
        return Ok(());
    }
    let message = format!("{} sites for {rows} sessions: give one for each row", sites.codes.len());
    Err(tokenflex_core::Error::Invalid { argument: "sites", message })
}
