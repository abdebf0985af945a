//! What Autodesk token licenses cost, computed from license-server logs.
//!
//! The road of the data, each stage its own module: [`flexlm`] reads logs into events ([`lmstat`] snapshots and
//! [`rlm`] report logs into sessions), [`pair`] turns events into sessions of use, [`concurrency`] counts how many are
//! in use at once, [`meter`] turns sessions into charges, [`doubles`] finds those that are the second of a working day,
//! [`ledger`] draws them from the pools of a contract, [`matching`] holds them against a statement of the vendor.
//! [`time`] knows zones and local days, [`intern`] turns names into dense codes, [`feature`] reads the vendor's feature
//! codes, [`column`] is the memory of long results. Slices go in and vectors come out; Arrow and Python live in another
//! crate.
#![forbid(unsafe_code)]

pub mod column;
pub mod concurrency;
pub mod doubles;
pub mod error;
pub mod feature;
pub mod flexlm;
pub mod intern;
pub mod ledger;
mod lines;
mod living;
pub mod lmstat;
pub mod matching;
pub mod meter;
pub mod pair;
pub mod rlm;
pub mod text;
pub mod time;

pub use error::{Change, Error, Result};
pub use lines::excerpt;
