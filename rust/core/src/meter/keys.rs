//! Who pays for what: the key of a session.
//!
//! A key is a payer and a unit. The payer is the user, or the host for products that are metered by machine; where each
//! server charges by itself, the payer is that of one server. The unit is the product, or its family.

use hashbrown::HashMap;

use super::{CalendarOf, Rule, Sessions, Window};

/// The codes of payers and units. They stay the same when later batches bring new names.
#[derive(Debug, Default, Clone)]
pub struct Keys {
    /// Payers of one server, where each server charges by itself.
    pub(super) per_server: HashMap<(u32, u32), u32>,
    pub(super) payers: usize,
    pub(super) units: usize,
}

/// A payer and a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Who pays.
    pub payer: u32,
    /// For what.
    pub unit: u32,
}

impl Keys {
    /// Sees to it that all payers and units of these sessions have codes below [`Keys::size`].
    pub fn make_room(&mut self, sessions: &Sessions<'_>, rule: &Rule<'_>) {
        let payers = if rule.by_host.is_empty() { sessions.users } else { 2 * sessions.users.max(sessions.hosts) };
        self.payers = self.payers.max(payers);
        self.units = self.units.max(sessions.products + rule.families as usize);
    }

    /// How many payers and units there can be so far.
    #[must_use]
    pub fn size(&self, rule: &Rule<'_>) -> (usize, usize) {
        (if rule.per_server { self.per_server.len() } else { self.payers }, self.units)
    }

    /// Whether the key of a row is its user and product, as they stand.
    #[must_use]
    pub fn is_plain(rule: &Rule<'_>) -> bool {
        !rule.per_server && rule.by_host.is_empty() && rule.families == 0
    }

    /// The key of a row.
    #[inline]
    pub fn of(&mut self, sessions: &Sessions<'_>, rule: &Rule<'_>, row: usize) -> Key {
        let product = sessions.product[row];
        let unit = rule.unit_of(product);
        let mut payer = if rule.by_host.is_empty() {
            sessions.user[row]
        } else if is_by_host(rule, product) {
            2 * host_of(sessions, row) + 1
        } else {
            2 * sessions.user[row]
        };
        if rule.per_server {
            let next = self.per_server.len() as u32;
            payer = *self.per_server.entry((payer, sessions.server_of(row))).or_insert(next);
        }
        Key { payer, unit }
    }
}

/// Whether the host pays for a product.
#[inline]
#[must_use]
pub fn is_by_host(rule: &Rule<'_>, product: u32) -> bool {
    rule.by_host.get(product as usize).copied().unwrap_or(false)
}

/// The host of a row. The rows were checked: one whose host pays has it.
#[inline]
pub(crate) fn host_of(sessions: &Sessions<'_>, row: usize) -> u32 {
    sessions.host.map_or(0, |hosts| hosts[row])
}

/// Which of the rule's calendars a row follows. The rows were checked: one without a calendar does not come this far.
#[inline]
#[must_use]
pub fn calendar_of(sessions: &Sessions<'_>, rule: &Rule<'_>, row: usize) -> usize {
    let Window::Day { calendar_of, .. } = rule.window else { return 0 };
    let place = match calendar_of {
        CalendarOf::All => return 0,
        CalendarOf::Server(calendars) => calendars.get(sessions.server_of(row) as usize),
        CalendarOf::User(calendars) => calendars.get(sessions.user[row] as usize),
    };
    place.copied().flatten().map_or(0, |place| place as usize)
}
