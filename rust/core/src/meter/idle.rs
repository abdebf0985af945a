//! Active spans: when a product was really in use, as far as activity tells.
//!
//! A session counts as in use from its start and from each activity until some minutes after the last one; what an
//! agent reports as idle begins as many minutes later. Where nothing at all is known of a user's product, open means in
//! use.

use crate::intern::NONE;

/// A user, host and product; [`NONE`] where the report does not say which.
pub type Whose = (u32, u32, u32);

/// A report with whose it is: activity at an instant (both instants the same), or a stretch without activity.
pub type Idleness = (Whose, i64, i64);

/// One report: activity at an instant (`from` = `to`), or a stretch without activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Report {
    from: i64,
    to: i64,
    host: u32,
    product: u32,
}

impl Report {
    fn is_about(&self, host: u32, product: u32) -> bool {
        (self.host == NONE || self.host == host) && (self.product == NONE || self.product == product)
    }
}

/// What is known of activity or idleness, in the codes of the sessions: the reports of each user in order of time.
#[derive(Debug, Default)]
pub struct Known {
    /// Where the reports of each user begin; one more for the end of all.
    begins: Vec<usize>,
    reports: Vec<Report>,
    is_idle: bool,
}

impl Known {
    /// From instants of activity.
    #[must_use]
    pub fn of_activity(users: usize, rows: impl Iterator<Item = (Whose, i64)> + Clone) -> Self {
        Self::new(users, rows.map(|(whose, at)| (whose, at, at)), false)
    }

    /// From stretches without activity.
    #[must_use]
    pub fn of_idle(users: usize, rows: impl Iterator<Item = (Whose, i64, i64)> + Clone) -> Self {
        Self::new(users, rows, true)
    }

    fn new(users: usize, rows: impl Iterator<Item = (Whose, i64, i64)> + Clone, is_idle: bool) -> Self {
        // Counted and scattered by user: millions of reports need no hashing and hardly any sorting.
        let mut begins = vec![0; users + 1];
        for ((user, ..), ..) in rows.clone() {
            begins[user as usize + 1] += 1;
        }
        for user in 0..users {
            begins[user + 1] += begins[user];
        }
        let mut next = begins.clone();
        let mut reports = vec![Report { from: 0, to: 0, host: 0, product: 0 }; begins[users]];
        for ((user, host, product), from, to) in rows {
            let place = &mut next[user as usize];
            reports[*place] = Report { from, to, host, product };
            *place += 1;
        }
        for user in 0..users {
            let of_user = &mut reports[begins[user]..begins[user + 1]];
            if !of_user.is_sorted() {
                of_user.sort_unstable();
            }
        }
        Self { begins, reports, is_idle }
    }

    /// What is known together with what was known before.
    #[must_use]
    pub fn with(&self, users: usize, before: &[Idleness], are_idle: bool) -> Self {
        let own = (0..self.begins.len().saturating_sub(1)).flat_map(|user| self.of_user(user as u32));
        Self::new(users, before.iter().copied().chain(own), self.is_idle || are_idle)
    }

    /// Whether the reports are stretches without activity.
    pub(super) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// The reports of a user.
    pub(super) fn of_user(&self, user: u32) -> impl Iterator<Item = Idleness> + Clone + '_ {
        let user_at = user as usize;
        let range = self.begins.get(user_at).zip(self.begins.get(user_at + 1));
        let reports = range.map_or(&[][..], |(&from, &to)| &self.reports[from..to]);
        reports.iter().map(move |report| ((user, report.host, report.product), report.from, report.to))
    }

    /// The spans of `[start, end)` in which the product was in use, or `None` where nothing is known of it.
    ///
    /// Spans that touch are one.
    #[must_use]
    pub fn spans(&self, (user, host, product): Whose, start: i64, end: i64, after: i64) -> Option<Vec<(i64, i64)>> {
        let user = user as usize;
        let of_user = &self.reports[*self.begins.get(user)?..*self.begins.get(user + 1)?];
        if !of_user.iter().any(|report| report.is_about(host, product)) {
            return None;
        }
        let about = |reports: &'_ [Report]| {
            let about = reports.iter().filter(|report| report.is_about(host, product) && report.from < end);
            about
                .filter(|report| report.to > start || !self.is_idle)
                .map(|report| (report.from, report.to))
                .collect::<Vec<_>>()
        };
        if self.is_idle {
            return Some(without_idle(&about(of_user), start, end, after));
        }
        let from = of_user.partition_point(|report| report.from < start);
        let to = of_user.partition_point(|report| report.from < end);
        Some(from_activity(&about(&of_user[from..to.max(from)]), start, end, after))
    }
}

fn from_activity(activity: &[(i64, i64)], start: i64, end: i64, after: i64) -> Vec<(i64, i64)> {
    let until = |at: i64| at.saturating_add(after).min(end);
    let mut spans = vec![(start, until(start))];
    for &(at, _) in activity {
        match spans.last_mut() {
            Some(last) if at <= last.1 => last.1 = last.1.max(until(at)),
            _ => spans.push((at, until(at))),
        }
    }
    spans
}

fn without_idle(stretches: &[(i64, i64)], start: i64, end: i64, after: i64) -> Vec<(i64, i64)> {
    let mut spans = Vec::new();
    let mut from = start;
    for &(idle_from, idle_to) in stretches {
        let stops = idle_from.saturating_add(after).max(from);
        if stops < idle_to.min(end) {
            // A launch is a use, however short.
            if stops > from || spans.is_empty() {
                spans.push((from, stops));
            }
            from = idle_to;
        }
    }
    if from < end || spans.is_empty() {
        spans.push((from, end));
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(times: &[i64], stretches: &[(i64, i64)]) -> Known {
        if stretches.is_empty() {
            Known::of_activity(5, times.iter().map(|&at| ((1, 2, 3), at)))
        } else {
            Known::of_idle(5, stretches.iter().map(|&(from, to)| ((1, 2, 3), from, to)))
        }
    }

    #[test]
    fn use_lasts_until_some_time_after_each_activity() {
        let known = known(&[40, 5, 12, 90], &[]);
        assert_eq!(known.spans((1, 2, 3), 0, 80, 15), Some(vec![(0, 27), (40, 55)]));
        assert_eq!(known.spans((1, 2, 3), 0, 45, 15), Some(vec![(0, 27), (40, 45)]));
        assert_eq!(known.spans((1, 2, 3), 50, 50, 15), Some(vec![(50, 50)]));
    }

    #[test]
    fn spans_that_touch_are_one() {
        assert_eq!(known(&[15], &[]).spans((1, 2, 3), 0, 80, 15), Some(vec![(0, 30)]));
        assert_eq!(known(&[16], &[]).spans((1, 2, 3), 0, 80, 15), Some(vec![(0, 15), (16, 31)]));
    }

    #[test]
    fn idle_stretches_are_cut_out_some_time_after_they_begin() {
        let known = known(&[], &[(10, 20), (30, 60)]);
        assert_eq!(known.spans((1, 2, 3), 0, 100, 15), Some(vec![(0, 45), (60, 100)]));
        assert_eq!(known.spans((1, 2, 3), 50, 55, 15), Some(vec![(50, 50)]), "a launch is a use");
        assert_eq!(known.spans((1, 2, 3), 0, 50, 15), Some(vec![(0, 45)]));
    }

    #[test]
    fn what_nothing_is_known_of_is_in_use() {
        assert_eq!(known(&[1], &[]).spans((1, 2, 4), 0, 100, 15), None);
    }

    #[test]
    fn a_report_may_leave_host_and_product_open() {
        let rows = [((1, NONE, NONE), 40), ((1, NONE, 3), 70)];
        let known = Known::of_activity(5, rows.into_iter());
        assert_eq!(known.spans((1, 2, 3), 0, 100, 10), Some(vec![(0, 10), (40, 50), (70, 80)]));
        assert_eq!(known.spans((1, NONE, 4), 0, 100, 10), Some(vec![(0, 10), (40, 50)]));
    }
}
