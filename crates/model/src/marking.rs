//! Markings: who may receive (TLP 2.0) and what a recipient may do (PAP).
//!
//! Source: FIRST Traffic Light Protocol 2.0; MISP's PAP taxonomy.
//! Not here: what a marking allows (`policy`).

use crate::event::word_enum;

word_enum! {
    /// Traffic Light Protocol 2.0. Ordered: a later variant is stricter.
    Tlp: u8, "TLP marking" {
        /// No limit on disclosure.
        Clear = 0 => "clear" | "white" | "tlp:clear" | "tlp:white",
        /// The community: every accredited member, and partners.
        Green = 1 => "green" | "tlp:green",
        /// Recipients' organisations and their clients.
        Amber = 2 => "amber" | "tlp:amber",
        /// Recipients' organisations only.
        AmberStrict = 3 => "amber+strict" | "tlp:amber+strict" | "amber-strict",
        /// Named persons only.
        Red = 4 => "red" | "tlp:red",
    }
}

word_enum! {
    /// Permissible Actions Protocol. Ordered: a later variant is stricter.
    Pap: u8, "PAP marking" {
        /// No restriction.
        Clear = 0 => "clear" | "white" | "pap:clear" | "pap:white",
        /// Active actions allowed: block, take down.
        Green = 1 => "green" | "pap:green",
        /// Passive cross-checks only.
        Amber = 2 => "amber" | "pap:amber",
        /// Detection inside, non-detectable actions only.
        Red = 3 => "red" | "pap:red",
    }
}
