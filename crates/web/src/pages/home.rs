//! The front page: what this is and where to go on, wholly in Korean or wholly in English.

use super::browser::wanted;
use super::shape::Page;
use crate::params::Params;
use crate::reply::Reply;
use axum::http::{HeaderMap, StatusCode};

/// `GET /`
pub async fn page(params: Params, headers: HeaderMap) -> Reply {
    let lang = wanted(&params, &headers)?;
    let (title, body) = lang.choose(("봉수", KO), ("Bongsu", EN));
    Ok(Page::of(lang, title, body).answer(StatusCode::OK, "accept-language"))
}

const KO: &str = "<h1>봉수</h1>
<p>봉수는 국가 차원에서 사이버 위협 정보를 나누고 함께 대응하는 허브입니다. 회원 기관이 관측한 위협 이벤트를 받아 안전하게 보관하고, 받을 자격이 있는 기관에 바로 알립니다.</p>
<h2>회원 기관</h2>
<ul>
<li>기관 관리자에게 발급받은 키를 <code>Authorization: Bearer</code> 헤더에 넣어 사용합니다.</li>
<li>명령줄 도구: <code>bongsu submit</code>로 이벤트를 보내고, <code>bongsu lookup</code>으로 값을 조회하고, <code>bongsu stream</code>으로 실시간으로 받습니다.</li>
<li>API 설명서는 <a href=\"/api/docs\">/api/docs</a>, OpenAPI 문서는 <a href=\"/api/openapi.json\">/api/openapi.json</a>에 있습니다. 두 주소 모두 키가 필요합니다. 브라우저가 물으면 사용자 이름은 아무것이나, 비밀번호에는 키를 입력하십시오.</li>
</ul>
<h2>정보 보호</h2>
<ul>
<li>공유 범위는 TLP 2.0 표시를 따릅니다.</li>
<li>신고 기관의 이름은 본인이 원할 때만 드러나며, 피해자 정보는 신고 기관과 해당 네트워크의 소유자, 소관 기관, 조정 센터만 볼 수 있습니다.</li>
</ul>
<p class=\"quiet\">아직 회원이 아니라면 조정 센터에 가입을 문의하십시오.</p>
<nav aria-label=\"언어\"><a href=\"/?lang=en\" lang=\"en\" hreflang=\"en\">English</a></nav>
";

const EN: &str = "<h1>Bongsu</h1>
<p>Bongsu is a national hub for sharing cyber threats and responding to them. It takes in what member organisations observe, keeps it safe, and tells at once those who are entitled to know.</p>
<h2>For members</h2>
<ul>
<li>Use the key that your organisation's administrator gave you, in the header <code>Authorization: Bearer</code>.</li>
<li>On the command line, <code>bongsu submit</code> sends events, <code>bongsu lookup</code> asks about values, and <code>bongsu stream</code> follows live.</li>
<li>The interface is described at <a href=\"/api/docs\">/api/docs</a>, as OpenAPI at <a href=\"/api/openapi.json\">/api/openapi.json</a>. Both need a key; where a browser asks, any name will do and the key is the password.</li>
</ul>
<h2>How information is protected</h2>
<ul>
<li>Sharing follows the markings of TLP 2.0.</li>
<li>Who reported something is shown only where the reporter wishes it; victims are seen by the reporter, the owner of the network, the competent authority and the coordination centre alone.</li>
</ul>
<p class=\"quiet\">Not a member yet? Ask the coordination centre.</p>
<nav aria-label=\"Language\"><a href=\"/?lang=ko\" lang=\"ko\" hreflang=\"ko\">한국어</a></nav>
";
