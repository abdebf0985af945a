//! One small state per key (user × product).

use hashbrown::HashMap;

/// Up to this many slots a plain table is taken whatever the number of rows.
const ALWAYS_DENSE: usize = 1 << 20;

/// The states of all keys: a table with a place for every possible key where that is small enough, a hash map of the
/// keys that occur otherwise. A state begins as `S::default()`, whose bytes are zero: fresh pages need no writing.
#[derive(Debug)]
pub enum States<S> {
    /// Indexed by `user * products + product`.
    Dense {
        /// How many products there are.
        products: usize,
        /// A slot for each possible key.
        slots: Vec<S>,
    },
    /// By key.
    Sparse(HashMap<u64, S>),
}

impl<S: Copy + Default> States<S> {
    /// States for codes below `users` and `products`, met in `rows` rows.
    #[must_use]
    pub fn new(users: usize, products: usize, rows: usize) -> Self {
        let dense_limit = ALWAYS_DENSE.max(rows);
        match users.checked_mul(products) {
            Some(keys) if keys <= dense_limit => Self::Dense { products, slots: vec![S::default(); keys] },
            _ => Self::Sparse(HashMap::new()),
        }
    }

    /// The state of a key.
    #[inline]
    pub fn of(&mut self, user: u32, product: u32) -> &mut S {
        match self {
            Self::Dense { products, slots } => &mut slots[user as usize * *products + product as usize],
            Self::Sparse(map) => map.entry(u64::from(user) << 32 | u64::from(product)).or_default(),
        }
    }
}
