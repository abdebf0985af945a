//! Under which rules all sessions of a group cost what is stated.

use super::fit::Copies;
use super::rates::{NO_RATE, Rates};
use super::{Rule, Sessions, charge};
use crate::error::Result;

/// What is stated of sessions, and whose they are.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    /// For each session its tokens in 1/10,000.
    pub stated: &'a [i64],
    /// For each session its group, from 0.
    pub group: &'a [u32],
    /// How many groups there are.
    pub groups: usize,
}

/// The groups of which every session costs under a rule what is stated. Charges without a rate cost nothing.
///
/// # Errors
/// As [`charge`].
pub fn explained(
    claims: Claims<'_>,
    copies: Copies<'_>,
    sessions: &Sessions<'_>,
    rule: &Rule<'_>,
    rates: &Rates,
) -> Result<Vec<u32>> {
    let mut due = vec![0_i128; claims.stated.len()];
    let mut add = |row: usize, tokens: i128| {
        if tokens != NO_RATE {
            due[row] += tokens;
        }
    };
    let copy = [Some(copies.contract), copies.per_server].into_iter().flatten().find(|copy| copy.can_run(rule));
    if let Some(copy) = copy {
        let rows = copy.rows();
        copy.each(rule, |payer, charge| {
            add(rows[charge.place as usize] as usize, rates.at(payer.product, charge.at));
        });
    } else {
        let charges = charge(*sessions, rule, rates, None, None, 1)?.charges;
        for at in 0..charges.len() {
            add(charges.session[at] as usize, charges.tokens[at]);
        }
    }
    let mut holds = vec![true; claims.groups];
    for ((&due, &stated), &group) in due.iter().zip(claims.stated).zip(claims.group) {
        holds[group as usize] &= due == i128::from(stated);
    }
    Ok((0..).zip(holds).filter_map(|(group, holds)| holds.then_some(group)).collect())
}
