//! Query parameters: the filter of a command as the hub's doors read it.
//!
//! Invariant: one grammar for search, stream and export; a repeated condition is one parameter, its words separated by commas.

use crate::cli::FilterArguments;

/// The parameters of a filter.
pub fn parameters(filter: &FilterArguments) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    let mut add = |name: &'static str, value: Option<String>| {
        if let Some(value) = value {
            parameters.push((name, value));
        }
    };
    let joined = |words: &[String]| (!words.is_empty()).then(|| words.join(","));
    add("since", filter.since.map(|time| time.to_string()));
    add("until", filter.until.map(|time| time.to_string()));
    add("category", joined(&filter.category));
    add("type", joined(&filter.kind));
    add("sector", joined(&filter.sector));
    add("within", filter.within.clone());
    add("domain", filter.domain.clone());
    add("malware", filter.malware.clone());
    add("value", filter.value.clone());
    parameters
}

/// Appends a value, percent-encoded for a query or a path segment.
///
/// Source: RFC 3986, section 2.3 (unreserved characters).
pub fn encode(value: &str, out: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(HEX.get(usize::from(digit)).copied().unwrap_or('0'));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn every_reserved_character_is_encoded() {
        let mut out = String::new();
        encode("10.0.0.0/8 a+b&c=d é", &mut out);
        assert_eq!(out, "10.0.0.0%2F8%20a%2Bb%26c%3Dd%20%C3%A9");
    }

    #[test]
    fn only_conditions_that_are_given_are_sent() {
        let filter = FilterArguments { category: vec!["phishing".into(), "c2-server".into()], domain: Some("kr".into()), ..FilterArguments::default() };
        assert_eq!(parameters(&filter), [("category", "phishing,c2-server".to_owned()), ("domain", "kr".to_owned())]);
    }
}
