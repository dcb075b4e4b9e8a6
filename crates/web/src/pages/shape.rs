//! The shape of a page: its frame, its language, and what can stand in it.
//!
//! Invariant: no script, nothing from elsewhere. What [`Page::html`] and [`Page::of`] take is HTML already; everything else is text and is escaped in here.
//! Not here: what a page says, which language it is wanted in (`browser`), the headers that every answer carries (`crate::headers`).

use super::browser::Lang;
use crate::reply;
use axum::http::header::{CONTENT_LANGUAGE, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use std::fmt::{Arguments, Write};

/// The media type of a page.
pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// A page of this site, wholly in one language.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    lang: Lang,
    title: String,
    body: String,
}

impl Page {
    /// A page whose body is written already.
    pub(crate) fn of(lang: Lang, title: &str, body: impl Into<String>) -> Self {
        Self { lang, title: title.to_owned(), body: body.into() }
    }

    /// A page that begins with its title.
    pub(crate) fn titled(lang: Lang, title: &str) -> Self {
        Self::of(lang, title, format!("<h1>{}</h1>\n", escape(title)))
    }

    /// Adds HTML.
    pub(crate) fn html(&mut self, html: Arguments<'_>) {
        // Writing into memory does not fail.
        let _ = self.body.write_fmt(html);
    }

    /// Adds a heading of a part.
    pub(crate) fn heading(&mut self, text: &str) {
        self.html(format_args!("<h2>{}</h2>\n", escape(text)));
    }

    /// Adds a paragraph.
    pub(crate) fn paragraph(&mut self, text: &str) {
        self.html(format_args!("<p>{}</p>\n", escape(text)));
    }

    /// Adds a table; `rows` adds its rows.
    pub(crate) fn table(&mut self, columns: &[&str], rows: impl FnOnce(&mut Self)) {
        self.html(format_args!("<table>\n<thead><tr>"));
        for column in columns {
            self.html(format_args!("<th scope=\"col\">{}</th>", escape(column)));
        }
        self.html(format_args!("</tr></thead>\n<tbody>\n"));
        rows(self);
        self.html(format_args!("</tbody>\n</table>\n"));
    }

    /// The page as a document.
    pub(crate) fn document(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<link rel=\"stylesheet\" href=\"/assets/bongsu.css\">\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
            lang = self.lang.code(),
            title = escape(&self.title),
            body = self.body,
        )
    }

    /// The page as an answer. `vary` names the headers of the request that it depends on.
    pub(crate) fn answer(&self, status: StatusCode, vary: &'static str) -> Response {
        let mut response = reply::typed(status, HTML, self.document().into_bytes());
        let headers = response.headers_mut();
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(self.lang.code()));
        headers.insert(VARY, HeaderValue::from_static(vary));
        response
    }
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
        let mut page = Page::titled(Lang::En, "<title>");
        page.heading("<h>");
        page.paragraph("<p>");
        page.table(&["<th>"], |rows| rows.html(format_args!("<tr><td>7</td></tr>\n")));
        let document = page.document();
        for (text, times) in [("<title>", 1), ("&lt;title&gt;", 2), ("&lt;h&gt;", 1), ("&lt;p&gt;", 1), ("&lt;th&gt;", 1)] {
            assert_eq!(document.matches(text).count(), times, "{text}: {document}");
        }
        assert!(document.contains("<tbody>\n<tr><td>7</td></tr>\n</tbody>\n</table>\n"), "{document}");
    }

    #[test]
    fn a_page_says_which_language_it_is_in() {
        let answer = Page::titled(Lang::Ko, "봉수").answer(StatusCode::OK, "accept-language");
        assert_eq!((answer.headers()[CONTENT_LANGUAGE].as_bytes(), answer.headers()[VARY].as_bytes()), (b"ko".as_slice(), b"accept-language".as_slice()));
        assert!(Page::titled(Lang::Ko, "봉수").document().contains("<html lang=\"ko\">"));
    }
}
