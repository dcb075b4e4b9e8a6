//! Every way in which a bare text can be a value.
//!
//! Flow: a search gives a text without a type → [`readings`] → each is compared with the observables of an event.
//! Invariant: each is canonical; what the text is detected as is among them. A text that would become another by being read as a type is not read so,
//! unless nothing in a text could tell that type.

use super::detect;
use crate::canonical::{canonical, tidy};
use crate::{ObservableType, Text};

/// The types and canonical forms that a text can have: of 32 hexadecimal digits an MD5 and a JA3 fingerprint, for example.
pub fn readings(text: &str) -> Vec<(ObservableType, Text)> {
    let detected = detect(text);
    let plain = tidy(text);
    let reading = |&kind: &ObservableType| match &detected {
        Some((found, value)) if *found == kind => Some((kind, value.clone())),
        Some(_) | None => canonical(kind, text).ok().filter(|value| is_untold(kind) || value.as_str() == plain).map(|value| (kind, value)),
    };
    ObservableType::ALL.iter().filter_map(reading).collect()
}

/// Whether nothing in a text tells that it is of this type.
const fn is_untold(kind: ObservableType) -> bool {
    matches!(kind, ObservableType::Ja3 | ObservableType::X509Sha1 | ObservableType::X509Sha256 | ObservableType::UserAgent | ObservableType::Phone)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::ObservableType::{Cidr, Domain, Ipv4, Ja3, Md5, Phone, Url, UserAgent};

    #[test]
    fn a_text_is_read_as_what_it_looks_like_and_as_what_no_text_tells() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let of = |text: &str, kind| readings(text).into_iter().find(|(found, _)| *found == kind).map(|(_, value)| value.to_string());
        assert_eq!((of(md5, Md5), of(md5, Ja3)), (Some(md5.to_owned()), Some(md5.to_owned())));
        assert_eq!((of("EVIL[.]com", Domain), of("EVIL[.]com", Url)), (Some("evil.com".to_owned()), None));
        assert_eq!((of("192.0.2.7", Ipv4), of("192.0.2.7", Cidr)), (Some("192.0.2.7".to_owned()), None));
        assert_eq!(of("Mozilla/5.0 (X11)", UserAgent).as_deref(), Some("Mozilla/5.0 (X11)"));
        assert!(of("+82-10-5555-7777", Phone).is_some());
        assert!(readings("").is_empty() && readings("a\u{1}b").is_empty());
    }

    #[test]
    fn every_canonical_value_is_among_the_readings_of_itself() {
        for (kind, value) in [(Md5, "d41d8cd98f00b204e9800998ecf8427e"), (Url, "http://evil.com/a,b"), (Cidr, "192.0.2.0/24"), (Domain, "evil.com")] {
            assert_eq!(canonical(kind, value).unwrap(), value);
            assert!(readings(value).contains(&(kind, Text::from(value))), "{value}");
        }
    }
}
