//! The few pages of this door: the front page, the readable description of the interface, the page behind a mailed link, refusals, and their style sheet.
//!
//! Invariant: no script, nothing from elsewhere, everything escaped.
//! Not here: the console and the products (the page that lists these is beside them: `crate::feeds::page`).

pub(crate) mod browser;
pub mod contact;
pub mod docs;
pub mod home;
pub mod locked;
pub(crate) mod refusal;
pub(crate) mod shape;
pub mod style;
