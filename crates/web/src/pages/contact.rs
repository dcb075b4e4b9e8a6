//! The page behind the link that a contact is mailed, wholly in Korean or wholly in English: whoever reads the mail presses a button.
//!
//! Flow: `GET` shows whose contact it is and a button → `POST` to the same address verifies it.
//! Invariant: to look changes nothing, for programs that guard mailboxes open every link; what a link leads to is told to nobody else, and one that was
//! used, replaced or made up answers 404 alike.
//! Not here: the mail (`hub::delivery`), what being verified means (`hub::members`).

use super::browser::{Lang, preferred, wants_page};
use super::shape::{Page, escape};
use crate::AppState;
use crate::params::At;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::state::act;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use hub::members::ContactBehind;

/// How the addresses of these pages begin. They alone have a form, and none of them is kept by anybody on the way.
pub const PREFIX: &str = "/contacts/confirm/";

/// `GET /contacts/confirm/{code}`
pub async fn show(State(state): State<AppState>, headers: HeaderMap, At(code): At<String>) -> Reply {
    let found = state.hub.members().contact_behind(&code).await.map_err(Problem::from);
    answered(&headers, found, asking)
}

/// `POST /contacts/confirm/{code}`
pub async fn confirm(State(state): State<AppState>, headers: HeaderMap, At(code): At<String>) -> Reply {
    let done = act(async move { state.hub.members().confirm_contact(&code).await }).await;
    answered(&headers, done, confirmed)
}

/// Title and body of a page.
type Words = (&'static str, String);

/// The page in the reader's language; of what is not there a program is told as everywhere.
fn answered(headers: &HeaderMap, found: Result<ContactBehind, Problem>, words: fn(Lang, &str) -> Words) -> Reply {
    let lang = preferred(headers);
    match found {
        Ok(found) => Ok(page(StatusCode::OK, lang, &words(lang, &escape(&found.organisation)))),
        Err(problem) if problem.status() == StatusCode::NOT_FOUND && wants_page(headers) => Ok(page(StatusCode::NOT_FOUND, lang, &gone(lang))),
        Err(problem) => Err(problem),
    }
}

fn page(status: StatusCode, lang: Lang, (title, body): &Words) -> Response {
    Page::of(lang, title, body.as_str()).answer(status, "accept, accept-language")
}

/// What is asked. `organisation` may stand in HTML, here and below.
fn asking(lang: Lang, organisation: &str) -> Words {
    match lang {
        Lang::Ko => (
            "봉수: 연락처 확인",
            format!(
                "<h1>연락처 확인</h1>\n<p>이 링크를 받은 메일 주소는 <strong>{organisation}</strong>의 침해사고 연락처로 등록되어 있습니다.</p>\n\
                 <form method=\"post\">\n<p>이 메일함을 실제로 확인하고 계시다면 단추를 눌러 주십시오. 반년 뒤에 다시 여쭙겠습니다.</p>\n\
                 <p><button type=\"submit\">네, 확인하고 있습니다</button></p>\n</form>\n<p class=\"quiet\">귀 기관과 관계가 없다면 이 창을 닫으시면 됩니다.</p>\n"
            ),
        ),
        Lang::En => (
            "Bongsu: confirm a contact",
            format!(
                "<h1>Confirm a contact</h1>\n<p>The mail address that got this link is where <strong>{organisation}</strong> is told of security incidents.</p>\n\
                 <form method=\"post\">\n<p>If somebody reads that mailbox, press the button. You are asked again in half a year.</p>\n\
                 <p><button type=\"submit\">Yes, it is read</button></p>\n</form>\n<p class=\"quiet\">If it is not yours, close this page.</p>\n"
            ),
        ),
    }
}

/// What was done.
fn confirmed(lang: Lang, organisation: &str) -> Words {
    match lang {
        Lang::Ko => (
            "봉수: 연락처가 확인되었습니다",
            format!("<h1>확인되었습니다</h1>\n<p><strong>{organisation}</strong>의 연락처를 확인해 주셔서 감사합니다. 더 하실 일은 없습니다.</p>\n"),
        ),
        Lang::En => (
            "Bongsu: the contact is confirmed",
            format!("<h1>Confirmed</h1>\n<p>Thank you: the contact of <strong>{organisation}</strong> is confirmed. There is nothing more to do.</p>\n"),
        ),
    }
}

fn gone(lang: Lang) -> Words {
    match lang {
        Lang::Ko => (
            "봉수: 쓸 수 없는 링크",
            "<h1>쓸 수 없는 링크입니다</h1>\n<p>이미 사용되었거나 새 메일로 바뀐 링크입니다. 확인이 끝났다면 더 하실 일은 없습니다.</p>\n".to_owned(),
        ),
        Lang::En => (
            "Bongsu: this link leads nowhere",
            "<h1>This link leads nowhere</h1>\n<p>It was used, or a newer mail has replaced it. If you have confirmed already, there is nothing more to do.</p>\n"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use axum::http::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_LANGUAGE};

    fn browser(language: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(language));
        headers
    }

    #[test]
    fn the_name_of_an_organisation_is_text_and_a_look_is_a_form() {
        for lang in [Lang::Ko, Lang::En] {
            let (title, body) = asking(lang, &escape("<b>Bank</b>"));
            assert!(body.contains("&lt;b&gt;Bank") && body.contains("method=\"post\"") && !title.is_empty(), "{body}");
            assert!(!body.contains("<script") && !confirmed(lang, "Bank").1.contains("<form"));
        }
    }

    #[test]
    fn a_browser_is_told_in_its_language_that_a_link_leads_nowhere_and_a_program_as_everywhere() {
        let gone = |headers: &HeaderMap| answered(headers, Err(Problem::not_found()), asking);
        let page = gone(&browser("ko-KR")).unwrap();
        assert_eq!((page.status(), &page.headers()[CONTENT_LANGUAGE]), (StatusCode::NOT_FOUND, &HeaderValue::from_static("ko")));
        assert_eq!(gone(&HeaderMap::new()).unwrap_err().status(), StatusCode::NOT_FOUND);
        let found = ContactBehind { organisation: "Bank".to_owned() };
        assert_eq!(answered(&browser("en"), Ok(found), confirmed).unwrap().status(), StatusCode::OK);
    }
}
