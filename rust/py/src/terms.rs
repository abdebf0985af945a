//! A rule and its rates, as `tokenflex.Rule` and `tokenflex.Rates` hand them over, and bound to the names of a table.

use std::collections::HashMap;

use pyo3::prelude::*;
use tokenflex_core::intern::{Interner, NONE};
use tokenflex_core::meter::save::Sizes;
use tokenflex_core::meter::{CalendarOf, Rates, Rule, Window};
use tokenflex_core::time::day::Days;
use tokenflex_core::time::zone::Zone;
use tokenflex_core::time::{MAX_TIME, MIN_TIME};
use tokenflex_core::{Error, Result};

/// What is charged and when, by name.
#[derive(FromPyObject, Clone)]
#[pyo3(from_item_all)]
pub struct Terms {
    /// A rolling window's length in microseconds; `None` for day windows.
    length: Option<i64>,
    /// Whose days: `server`, `user`, or the IANA name of one zone for all.
    zone: String,
    /// Microseconds after midnight at which a day begins.
    day_start: i64,
    renew: bool,
    min_duration: i64,
    /// Microseconds after the last activity until which a product is in use.
    pub idle_after: Option<i64>,
    per_server: bool,
    /// Products that the host pays for.
    machine_metered: Vec<String>,
    /// Product and family, where products of one family share a window.
    families: Vec<(String, String)>,
    /// The zone of each server, or of each user.
    zones: HashMap<String, String>,
    /// Product, in force from (microseconds), tokens in 1/10,000.
    rates: Vec<(String, i64, i128)>,
}

/// The names behind the codes of sessions.
#[derive(Default)]
pub struct Names {
    pub user: Interner,
    pub product: Interner,
    pub server: Interner,
    pub host: Interner,
}

/// Terms bound to the codes of some names. More names may follow: [`Bound::renew`] takes them in.
#[derive(Default)]
pub struct Binding {
    calendars: Vec<Days>,
    known: HashMap<String, u32>,
    zone_of: Vec<Option<u32>>,
    by_host: Vec<bool>,
    family: Vec<u32>,
    member: Vec<u8>,
    families: u32,
    pub rates: Rates,
}

impl Terms {
    /// Whether the rule needs to know the server of each session.
    pub fn needs_server(&self) -> bool {
        self.per_server || (self.length.is_none() && self.zone == "server")
    }

    /// Whether the rule needs to know the host of each session.
    pub fn needs_host(&self) -> bool {
        !self.machine_metered.is_empty()
    }

    /// How long after midnight a day begins, in microseconds.
    pub fn day_start(&self) -> i64 {
        self.day_start
    }

    /// Whether each server charges by itself.
    pub fn is_per_server(&self) -> bool {
        self.per_server
    }

    fn window<'a>(&self, binding: &'a Binding) -> Window<'a> {
        if let Some(length) = self.length {
            return Window::Rolling { length };
        }
        let calendar_of = match self.zone.as_str() {
            "server" => CalendarOf::Server(&binding.zone_of),
            "user" => CalendarOf::User(&binding.zone_of),
            _ => CalendarOf::All,
        };
        Window::Day { calendars: &binding.calendars, calendar_of }
    }

    /// The rule in the codes of the names that it was bound to.
    pub fn rule<'a>(&self, binding: &'a Binding) -> Rule<'a> {
        Rule {
            window: self.window(binding),
            renew: self.renew,
            min_duration: self.min_duration,
            per_server: self.per_server,
            by_host: &binding.by_host,
            family: &binding.family,
            families: binding.families,
            member: &binding.member,
        }
    }
}

impl Binding {
    /// How many there are of what codes stand for.
    pub fn sizes(&self, names: &Names) -> Sizes {
        Sizes {
            users: names.user.len(),
            products: names.product.len(),
            servers: names.server.len(),
            hosts: names.host.len(),
            calendars: self.calendars.len(),
        }
    }

    /// Terms bound to names.
    pub fn of(terms: &Terms, names: &Names) -> Result<Self> {
        let mut binding = Self::default();
        binding.renew(terms, names)?;
        Ok(binding)
    }

    /// An empty one for the same names, with the days of this one where other terms have the same: tables of days take
    /// longer to make than a small table takes to charge.
    #[must_use]
    pub fn reused(self, of: &Terms, terms: &Terms) -> Self {
        let days = |terms: &Terms| (terms.zone.clone(), terms.day_start, terms.length.is_none());
        if days(of) != days(terms) || of.zones != terms.zones {
            return Self::default();
        }
        let Self { calendars, known, zone_of, .. } = self;
        Self { calendars, known, zone_of, ..Self::default() }
    }

    /// Takes in the names that have come since.
    pub fn renew(&mut self, terms: &Terms, names: &Names) -> Result<()> {
        self.renew_calendars(terms, names)?;
        self.renew_products(terms, names);
        Ok(())
    }

    fn renew_calendars(&mut self, terms: &Terms, names: &Names) -> Result<()> {
        let owners = match terms.zone.as_str() {
            _ if terms.length.is_some() => return Ok(()),
            "server" => &names.server,
            "user" => &names.user,
            zone => {
                self.calendar(zone, terms)?;
                return Ok(());
            }
        };
        for owner in owners.iter().skip(self.zone_of.len()) {
            let zone = std::str::from_utf8(owner).ok().and_then(|owner| terms.zones.get(owner));
            let calendar = zone.map(|zone| self.calendar(zone, terms)).transpose()?;
            self.zone_of.push(calendar);
        }
        Ok(())
    }

    fn calendar(&mut self, zone: &str, terms: &Terms) -> Result<u32> {
        if let Some(&place) = self.known.get(zone) {
            return Ok(place);
        }
        let place = self.calendars.len() as u32;
        self.calendars.push(Days::beginning_at(&Zone::get(zone)?, terms.day_start, MIN_TIME, MAX_TIME));
        self.known.insert(zone.to_owned(), place);
        Ok(place)
    }

    fn renew_products(&mut self, terms: &Terms, names: &Names) {
        let known = self.rates.len();
        let mut families: Vec<&str> = terms.families.iter().map(|(_, family)| family.as_str()).collect();
        families.sort_unstable();
        families.dedup();
        self.families = families.len() as u32;
        let found = |product: &[u8]| terms.families.iter().find(|(name, _)| name.as_bytes() == product);
        for product in names.product.iter().skip(known) {
            if !terms.machine_metered.is_empty() {
                self.by_host.push(terms.machine_metered.iter().any(|name| name.as_bytes() == product));
            }
            if families.is_empty() {
                continue;
            }
            let family = found(product).map(|(_, family)| family.as_str());
            let place = family.and_then(|family| families.binary_search(&family).ok());
            self.family.push(place.map_or(NONE, |place| place as u32));
            let members = terms.families.iter().filter(|(_, of)| Some(of.as_str()) == family);
            let member = members.map(|(name, _)| name).position(|name| name.as_bytes() == product).unwrap_or(0);
            self.member.push(member as u8);
        }
        self.rates.extend_to(names.product.len());
        for (product, effective_from, tokens) in &terms.rates {
            if let Some(code) = names.product.find(product.as_bytes()).filter(|&code| code as usize >= known) {
                self.rates.add(code, *effective_from, *tokens);
            }
        }
    }
}

/// A family with more members than the engine can tell apart is refused before anything is charged.
pub fn check_families(terms: &Terms) -> Result<()> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (_, family) in &terms.families {
        *counts.entry(family).or_default() += 1;
    }
    match counts.into_iter().find(|&(_, count)| count > 64) {
        None => Ok(()),
        Some((family, count)) => Err(Error::Invalid {
            argument: "rates",
            message: format!("family {family:?} has {count} products, but can have 64 at most"),
        }),
    }
}
