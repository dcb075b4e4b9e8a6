//! The few pages of this door: the front page, the readable description of the interface, the page behind a mailed link, and their style sheet.
//!
//! Invariant: no script, nothing from elsewhere, everything escaped.
//! Not here: the console and the products (the page that lists these is beside them: `crate::feeds::page`).

pub mod contact;
pub mod docs;
pub mod home;
pub mod locked;
pub mod style;

use crate::reply;
use axum::http::StatusCode;
use axum::response::Response;

pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// A page of this site. `body` is HTML, `title` is text.
pub(crate) fn html(lang: &str, title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<link rel=\"stylesheet\" href=\"/assets/bongsu.css\">\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        title = escape(title),
    )
}

pub(crate) fn answer(page: String) -> Response {
    reply::typed(StatusCode::OK, HTML, page.into_bytes())
}

/// Text as it may stand in HTML, inside and outside of attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
    }
}
