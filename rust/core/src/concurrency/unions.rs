//! Distinct users or hosts: the stretches in which each of them uses anything of a group.

use hashbrown::HashMap;

use super::{Checked, Uses};
use crate::meter::sort;

/// The union of the sessions of each member of each group: sessions that overlap or touch are one stretch.
pub(super) fn unions<'a>(checked: &Checked<'a>, member: &[u32]) -> Uses<'a> {
    let (sessions, end) = (&checked.sessions, &checked.end);
    let is_ordered = sessions.start.is_sorted();
    let rows = (0..sessions.start.len()).filter(|&row| checked.fault(row).is_none() && sessions.start[row] < end[row]);
    let mut rows: Vec<u32> = rows.map(|row| row as u32).collect();
    if !is_ordered {
        rows = sort::by_time(sessions.start, &rows);
    }
    let mut found = Uses {
        group: Vec::new().into(),
        groups: sessions.groups,
        start: Vec::new().into(),
        end: Vec::new().into(),
        licenses: None,
    };
    let mut tell = |group: u32, (from, until): (i64, i64)| {
        found.group.to_mut().push(group);
        found.start.to_mut().push(from);
        found.end.to_mut().push(until);
    };
    let mut running: HashMap<(u32, u32), (i64, i64)> = HashMap::new();
    for row in rows.into_iter().map(|row| row as usize) {
        let (group, stretch) = (sessions.group[row], (sessions.start[row], end[row]));
        let last = running.entry((group, member[row])).or_insert(stretch);
        if stretch.0 > last.1 {
            tell(group, *last);
            *last = stretch;
        } else {
            last.1 = last.1.max(stretch.1);
        }
    }
    running.into_iter().for_each(|((group, _), last)| tell(group, last));
    found
}
