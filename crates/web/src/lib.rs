//! The doors: HTTP in front of the hub's use cases.
//!
//! Flow: [`router()`] (one page, every route) → authentication ([`auth`]) → a handler in `api` → one use case of `hub` → an answer, or a
//! [`problem::Problem`].
//! Invariant: a door decides nothing. It turns bytes into the domain's types, calls one use case and writes down what it answers; who may
//! see or do what is asked of `hub` and `policy` alone.
//! Not here: listening, TLS and configuration (`bongsu`), rules (`hub`), formats of events (`formats`).

// The description of the interface is one large literal per schema.
#![recursion_limit = "256"]

mod api;
pub mod auth;
mod feeds;
mod fields;
mod guard;
mod headers;
pub mod limits;
pub mod metrics;
pub mod misp;
mod observe;
pub mod openapi;
mod pages;
mod params;
mod payload;
pub mod problem;
mod reply;
mod router;
mod state;
mod stream;
pub mod taxii;

pub use router::router;
pub use state::AppState;
