//! Media types: what a caller accepts, and what a body is.
//!
//! Invariant: a type that the standard defines for the place is never refused; one that it does not define is.
//!
//! Source: OASIS TAXII 2.1, sections 1.6.8 and 3.1; RFC 9110, section 12.5.1.

/// Whether a caller accepts what this door answers. The most specific range that fits decides.
pub fn accepts(headers: &[&str]) -> bool {
    let mut ranges = headers.iter().flat_map(|header| split(header, ',')).filter(|range| !range.trim().is_empty()).peekable();
    if ranges.peek().is_none() {
        return true;
    }
    let fitting = ranges.filter_map(|range| {
        let media = Media::read(range);
        media.specificity().map(|specificity| (specificity, media.quality))
    });
    fitting.max_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))).is_some_and(|(_, quality)| quality > 0.0)
}

/// Whether a body of this type is an envelope. Some clients send `application/stix+json`; it is taken as well, as an envelope or a bundle.
pub fn is_envelope(content_type: &str) -> bool {
    let media = Media::read(content_type);
    match media.essence.as_str() {
        "application/taxii+json" => matches!(media.version.as_deref(), None | Some("2.1")),
        "application/stix+json" => matches!(media.version.as_deref(), None | Some("2.1" | "2.0")),
        _ => false,
    }
}

struct Media {
    essence: String,
    version: Option<String>,
    quality: f32,
}

impl Media {
    fn read(text: &str) -> Self {
        let mut parts = split(text, ';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut media = Self { essence, version: None, quality: 1.0 };
        for part in parts {
            let Some((name, value)) = part.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => media.version = Some(value.to_owned()),
                // Nonsense counts as nothing said.
                "q" => media.quality = value.parse::<f32>().ok().filter(|quality| (0.0..=1.0).contains(quality)).unwrap_or(1.0),
                _ => {}
            }
        }
        media
    }

    /// How closely a range names our type; `None` where it does not.
    fn specificity(&self) -> Option<u8> {
        match (self.essence.as_str(), self.version.as_deref()) {
            ("application/taxii+json", Some("2.1")) => Some(3),
            ("application/taxii+json", None) => Some(2),
            ("application/*", None) => Some(1),
            ("*/*", None) => Some(0),
            _ => None,
        }
    }
}

/// Splits where the separator is not between quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character: char| {
        quoted ^= character == '"';
        character == separator && !quoted
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_defined_type_is_accepted_and_an_undefined_one_is_not() {
        for (accept, expected) in [
            ("application/taxii+json;version=2.1", true),
            ("application/taxii+json; version=2.1", true),
            ("application/taxii+json;version=\"2.1\"", true),
            ("Application/TAXII+JSON", true),
            ("*/*", true),
            ("application/*", true),
            ("text/html, application/taxii+json;version=2.1;q=0.5", true),
            ("text/html,*/*;q=0.1", true),
            ("", true),
            ("application/json", false),
            ("application/taxii+json;version=2.0", false),
            ("application/vnd.oasis.taxii+json; version=2.0", false),
            ("text/html", false),
            ("application/taxii+json;q=0", false),
            ("application/taxii+json;version=2.1;q=0, */*", false),
            ("*/*;q=0", false),
        ] {
            assert_eq!(accepts(&[accept]), expected, "{accept}");
        }
        assert!(accepts(&[]));
        assert!(accepts(&["text/html", "application/taxii+json"]));
    }

    #[test]
    fn a_defined_body_is_taken_and_an_undefined_one_is_not() {
        for (content_type, expected) in [
            ("application/taxii+json;version=2.1", true),
            ("application/taxii+json", true),
            ("application/stix+json", true),
            ("application/stix+json;version=2.1", true),
            ("application/stix+json;version=3.0", false),
            ("application/taxii+json;version=2.0", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_envelope(content_type), expected, "{content_type}");
        }
    }
}
