//! What a browser without a key is told of the description of the interface: how to get in, wholly in Korean or wholly in English.
//!
//! Invariant: 401 all the same, with a challenge that makes the browser ask; the page says nothing that the front page does not.

use super::browser::preferred;
use super::shape::Page;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

/// Challenge beside the bearer's.
pub(super) const BASIC: &str = "Basic realm=\"Bongsu\", charset=\"UTF-8\"";

/// The page, in the language that the browser likes better.
pub fn answer(headers: &HeaderMap) -> Response {
    let lang = preferred(headers);
    let (title, body) = lang.choose(("봉수: 키가 필요합니다", KO), ("Bongsu: a key is needed", EN));
    let mut response = Page::of(lang, title, body).answer(StatusCode::UNAUTHORIZED, "accept, accept-language");
    let headers = response.headers_mut();
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(BASIC));
    response
}

const KO: &str = "<h1>키가 필요합니다</h1>
<p>이 설명서는 회원 기관의 키로 볼 수 있습니다. 페이지를 새로 고친 뒤 브라우저가 물으면 사용자 이름은 아무것이나, 비밀번호에는 키를 입력하십시오.</p>
<p>명령줄에서는 키를 헤더에 넣습니다: <code>curl -H &quot;Authorization: Bearer $BONGSU_KEY&quot; …/api/openapi.json</code>. <code>bongsu openapi</code>는 키 없이 같은 문서를 출력합니다.</p>
<p class=\"quiet\">키는 기관 관리자나 조정 센터가 발급합니다.</p>
<p><a href=\"/\">처음으로</a></p>
";

const EN: &str = "<h1>A key is needed</h1>
<p>The description of the interface is for holders of a key. Reload the page; where the browser asks, any name will do and the key is the password.</p>
<p>On the command line the key goes into a header: <code>curl -H &quot;Authorization: Bearer $BONGSU_KEY&quot; …/api/openapi.json</code>. <code>bongsu openapi</code> prints the same document without a key.</p>
<p class=\"quiet\">Keys are made by your organisation's administrator or the coordination centre.</p>
<p><a href=\"/\">Front page</a></p>
";

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE};

    #[test]
    fn the_page_is_a_refusal_that_makes_a_browser_ask() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("ko-KR,ko;q=0.9"));
        let response = answer(&headers);
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[CONTENT_LANGUAGE], "ko");
        let challenges: Vec<&str> = response.headers().get_all(WWW_AUTHENTICATE).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(challenges, ["Bearer", BASIC]);
    }
}
