//! Tokens per window and product, dated: the rate at the instant of the charge counts.

/// Tokens are counted in units of 1/10,000, so that no rate is ever a binary fraction.
pub const TOKEN_SCALE: u32 = 4;

/// A product without a rate at some instant.
pub const NO_RATE: i128 = i128::MIN;

/// The rates of all products, by product code.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// For each product the instants from which a rate holds, in order, and the rate in 1/10,000 token.
    steps: Vec<Vec<(i64, i128)>>,
}

impl Rates {
    /// No rates yet, for this many products.
    #[must_use]
    pub fn new(products: usize) -> Self {
        Self { steps: vec![Vec::new(); products] }
    }

    /// How many products there is room for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is room for no product.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Makes room for more products.
    pub fn extend_to(&mut self, products: usize) {
        self.steps.resize(products.max(self.steps.len()), Vec::new());
    }

    /// Adds a rate of a product, in force from an instant on.
    pub fn add(&mut self, product: u32, effective_from: i64, tokens: i128) {
        if let Some(steps) = self.steps.get_mut(product as usize) {
            let place = steps.partition_point(|&(from, _)| from <= effective_from);
            steps.insert(place, (effective_from, tokens));
        }
    }

    /// The rate of a product at an instant in 1/10,000 token, or [`NO_RATE`].
    #[inline]
    #[must_use]
    pub fn at(&self, product: u32, instant: i64) -> i128 {
        let Some(steps) = self.steps.get(product as usize) else { return NO_RATE };
        match steps.as_slice() {
            [] => NO_RATE,
            [(from, tokens)] if *from <= instant => *tokens,
            steps => match steps.partition_point(|&(from, _)| from <= instant) {
                0 => NO_RATE,
                place => steps[place - 1].1,
            },
        }
    }

    /// Until when the rate of a product at an instant holds; the end of time where no other follows.
    #[must_use]
    pub fn holds_until(&self, product: u32, instant: i64) -> i64 {
        let Some(steps) = self.steps.get(product as usize) else { return i64::MAX };
        let next = steps.partition_point(|&(from, _)| from <= instant);
        steps.get(next).map_or(i64::MAX, |&(from, _)| from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_at_the_instant_counts() {
        let mut rates = Rates::new(2);
        rates.add(0, 200, 90_000);
        rates.add(0, 100, 70_000);
        assert_eq!(rates.at(0, 99), NO_RATE);
        assert_eq!(rates.at(0, 100), 70_000);
        assert_eq!(rates.at(0, 199), 70_000);
        assert_eq!(rates.at(0, 200), 90_000);
        assert_eq!(rates.at(1, 200), NO_RATE);
        assert_eq!(rates.at(9, 200), NO_RATE);
    }
}
