//! Refusals as pages: what a browser is shown where a program is given a problem document, wholly in Korean or wholly in English.
//!
//! Flow: a handler's [`Problem`] → [`translate`] → a small page with its status, its reason and where to go on.
//! Invariant: the status and what its headers say stay as they are; the reason is the one that programs are told, so that a Korean page quotes it.
//! What wants no page, and everything that needs a key but the description of the interface, is passed through untouched: there a refusal is for programs.
//! Not here: how to get in to the description (`locked`), a mailed link that leads nowhere (`contact`): they have pages of their own.

use super::browser::{Lang, preferred, wants_page};
use super::locked::BASIC;
use super::shape::{HTML, Page, escape};
use crate::auth;
use crate::feeds::index;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, VARY, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;

/// Things that are wrong with a request which a page names at the most.
const NAMED: usize = 20;

/// Whether browsers are shown refusals of a path as pages.
pub(crate) fn is_shown(path: &str) -> bool {
    !auth::under_api(path) || auth::is_description(path)
}

/// Makes pages of the refusals that a browser meets.
pub(crate) async fn translate(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !is_shown(path) || !wants_page(request.headers()) {
        return next.run(request).await;
    }
    // Products take a browser's password, too.
    let takes_password = path.starts_with(index::PATH);
    let lang = language(request.uri(), request.headers());
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let asks = takes_password && problem.status() == StatusCode::UNAUTHORIZED;
    let page = page(&problem, lang, asks);
    let (mut parts, _) = response.into_parts();
    let headers = &mut parts.headers;
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(HTML));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(lang.code()));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-language, authorization"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if asks {
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(BASIC));
    }
    Response::from_parts(parts, Body::from(page.document()))
}

/// What `lang` of the query says, where that is a language, else what the browser likes better.
fn language(uri: &Uri, headers: &HeaderMap) -> Lang {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default();
    let chosen = pairs.iter().find(|(name, _)| name == "lang").and_then(|(_, code)| Lang::parse(code));
    chosen.unwrap_or_else(|| preferred(headers))
}

/// The page. `asks`: whether the browser will ask for a name and a password.
fn page(problem: &Problem, lang: Lang, asks: bool) -> Page {
    let status = problem.status();
    let (name, sentence) = match lang {
        Lang::Ko => korean(status),
        Lang::En => (status.canonical_reason().unwrap_or("Error"), ""),
    };
    let mut page = Page::titled(lang, &format!("{} {name}", status.as_u16()));
    match lang {
        Lang::Ko => {
            page.paragraph(sentence);
            page.html(format_args!("<p class=\"quiet\">사유: <q lang=\"en\">{}</q></p>\n", escape(problem.detail())));
        }
        Lang::En => page.paragraph(&format!("{}.", capitalised(problem.detail()))),
    }
    if !problem.errors().is_empty() {
        page.html(format_args!("<ul lang=\"en\">\n"));
        for error in problem.errors().iter().take(NAMED) {
            let (place, reason) = told(error);
            page.html(format_args!("<li><code>{}</code>: {}</li>\n", escape(&place), escape(&reason)));
        }
        page.html(format_args!("</ul>\n"));
    }
    if asks {
        page.paragraph(lang.choose(
            "페이지를 새로 고친 뒤 브라우저가 물으면 사용자 이름은 아무것이나, 비밀번호에는 키를 입력하십시오.",
            "Reload the page; where the browser asks, any name will do and the key is the password.",
        ));
    }
    if let Some(seconds) = problem.retry_after() {
        page.paragraph(&match lang {
            Lang::Ko => format!("{seconds}초 뒤에 다시 시도하십시오."),
            Lang::En => format!("Try again in {seconds} s."),
        });
    }
    let [front, products, interface] = lang.choose(["처음으로", "배포 목록", "API 설명서(키 필요)"], ["Front page", "Products", "The interface (needs a key)"]);
    page.html(format_args!("<ul>\n<li><a href=\"/\">{front}</a></li>\n<li><a href=\"{}\">{products}</a></li>\n", index::PATH));
    page.html(format_args!("<li><a href=\"/api/docs\">{interface}</a></li>\n</ul>\n"));
    page
}

/// Where something is wrong, and what.
fn told(error: &Value) -> (String, String) {
    let text = |name: &str| match error.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let place = if error.get("pointer").is_some() { text("pointer") } else { text("line") };
    (place, text("reason"))
}

/// A reason as a sentence begins.
fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().collect::<String>() + characters.as_str()).unwrap_or_default()
}

/// Name and meaning of a status.
fn korean(status: StatusCode) -> (&'static str, &'static str) {
    match status.as_u16() {
        400 => ("잘못된 요청", "주소에 적힌 매개변수나 보낸 내용을 읽을 수 없습니다."),
        401 => ("키가 필요합니다", "회원 기관의 키가 있어야 볼 수 있습니다."),
        403 => ("권한이 없습니다", "이 키로는 할 수 없는 일입니다."),
        404 => ("찾을 수 없습니다", "이 주소에는 아무것도 없거나, 있더라도 알려 드릴 수 없습니다."),
        405 => ("쓸 수 없는 방식", "이 주소는 이 방식의 요청을 받지 않습니다."),
        408 => ("시간 초과", "요청이 제시간에 도착하지 않았습니다."),
        410 => ("더 이상 없습니다", "여기 있던 것은 더 이상 없습니다. 전체를 다시 받으십시오."),
        413 => ("너무 큽니다", "요청이 한도보다 큽니다."),
        429 | 503 => ("지금은 응답할 수 없습니다", "처리할 수 있는 것보다 많은 요청이 들어왔거나 아직 준비 중입니다."),
        500.. => ("내부 오류", "허브 안에서 문제가 생겼습니다."),
        _ => ("처리할 수 없는 요청", "이 요청은 처리할 수 없습니다."),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_the_same_to_people_and_where_to_go_on() {
        let problem = Problem::parameter("tlp<b>", "must be \"clear\"");
        for (lang, name) in [(Lang::Ko, "400 잘못된 요청"), (Lang::En, "400 Bad Request")] {
            let document = page(&problem, lang, false).document();
            for part in [name, "<code>tlp&lt;b&gt;</code>: must be &quot;clear&quot;", "href=\"/\"", "href=\"/feeds/\"", "href=\"/api/docs\""] {
                assert!(document.contains(part), "{part}: {document}");
            }
            assert!(document.to_lowercase().contains("a parameter is wrong") && !document.contains("<script"), "{document}");
        }
    }

    #[test]
    fn a_page_says_when_to_come_back_and_where_the_key_goes() {
        let busy = page(&Problem::from(hub::HubError::Overloaded { retry_after: 7 }), Lang::En, false).document();
        assert!(busy.contains("Try again in 7 s."), "{busy}");
        let locked = page(&Problem::unauthenticated(), Lang::Ko, true).document();
        assert!(locked.contains("비밀번호에는 키를") && locked.contains("<q lang=\"en\">"), "{locked}");
    }

    #[test]
    fn programs_doors_are_left_alone() {
        for (path, shown) in
            [("/nonsense", true), ("/feeds/recalls", true), ("/api/docs", true), ("/api/v1/status", false), ("/taxii2/", false), ("/misp/events/index", false)]
        {
            assert_eq!(is_shown(path), shown, "{path}");
        }
    }

    #[test]
    fn the_language_of_the_query_goes_before_the_browsers() {
        let headers = HeaderMap::from_iter([(axum::http::header::ACCEPT_LANGUAGE, HeaderValue::from_static("ko"))]);
        let of = |uri: &'static str| language(&Uri::from_static(uri), &headers);
        assert_eq!((of("/x?lang=en"), of("/x?lang=fr"), of("/x")), (Lang::En, Lang::Ko, Lang::Ko));
    }
}
