//! What a browser says of itself: whether it wants a page, and in which language.
//!
//! Invariant: a caller that does not ask for HTML by name is a program; `*/*` alone asks for nothing.
//! Source: RFC 9110, sections 12.4.2 (weights), 12.5.1 (Accept), 12.5.4 (Accept-Language).

use crate::params::Params;
use crate::problem::Problem;
use axum::http::header::{ACCEPT, ACCEPT_LANGUAGE};
use axum::http::{HeaderMap, HeaderName};

/// Language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lang {
    /// Korean.
    Ko,
    /// English.
    En,
}

impl Lang {
    /// As `lang` and `Content-Language` have it.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Ko => "ko",
            Self::En => "en",
        }
    }

    /// The language of a code.
    pub(super) fn parse(code: &str) -> Option<Self> {
        match code {
            "ko" => Some(Self::Ko),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// One of two texts.
    pub(crate) fn choose<T>(self, ko: T, en: T) -> T {
        match self {
            Self::Ko => ko,
            Self::En => en,
        }
    }
}

/// Whether the caller is a browser that is to show a page: it names HTML and likes it no less than JSON.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let (mut page, mut json) = (0.0_f64, 0.0_f64);
    for (media, weight) in ranges(headers, ACCEPT) {
        match media.as_str() {
            "text/html" => page = page.max(weight),
            "application/json" | "application/problem+json" => json = json.max(weight),
            _ => {}
        }
    }
    page > 0.0 && page >= json
}

/// The language that a page is wanted in: what `lang` says, else what the browser likes better.
///
/// # Errors
/// 400 for another word than `ko` and `en`.
pub(crate) fn wanted(params: &Params, headers: &HeaderMap) -> Result<Lang, Problem> {
    Ok(params.parsed("lang", "ko or en", Lang::parse)?.unwrap_or_else(|| preferred(headers)))
}

/// The language that the browser likes better; English where it names neither.
pub(crate) fn preferred(headers: &HeaderMap) -> Lang {
    let mut best = (0.0_f64, Lang::En);
    for (tag, weight) in ranges(headers, ACCEPT_LANGUAGE) {
        if let Some(lang) = tag.split('-').next().and_then(Lang::parse)
            && weight > best.0
        {
            best = (weight, lang);
        }
    }
    best.1
}

/// What a header lists, in lower case, each with its weight.
fn ranges(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = (String, f64)> {
    let listed = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    listed.map(|range| {
        let mut parts = range.split(';');
        let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        // Nonsense counts as not wanted.
        let weight = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(1.0, |weight| weight.trim().parse::<f64>().unwrap_or(0.0));
        (name, weight)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_browser_is_told_from_a_program_by_what_it_accepts() {
        for (accepted, page) in [
            ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", true),
            ("TEXT/HTML", true),
            ("application/json;q=0.5, text/html", true),
            ("application/json, text/html", true),
            ("application/json, text/html;q=0.5", false),
            ("text/html;q=0", false),
            ("text/html;q=much", false),
            ("*/*", false),
            ("application/problem+json", false),
            ("", false),
        ] {
            assert_eq!(wants_page(&headers(ACCEPT, accepted)), page, "{accepted}");
        }
        assert!(!wants_page(&HeaderMap::new()));
    }

    #[test]
    fn the_browsers_first_choice_of_our_languages_is_taken() {
        for (accepted, lang) in
            [("ko-KR,ko;q=0.9,en;q=0.8", Lang::Ko), ("fr, en;q=0.5, ko;q=0.7", Lang::Ko), ("de", Lang::En), ("", Lang::En), ("ko;q=0, en;q=0.1", Lang::En)]
        {
            assert_eq!(preferred(&headers(ACCEPT_LANGUAGE, accepted)), lang, "{accepted}");
        }
    }
}
