//! A message in words, for mail: subject, a text of a screenful, and everything it carries as data.
//!
//! Flow: [`letter`] → counts by category and the newest items, defanged → [`attachments`] as they are.
//! Invariant: nothing that came from outside reaches subject or text before `plain` took out what could break a line or hide in it, nor a
//! value before it is defanged; the text never grows with what is in the message; its marking is the strictest of its contents, and what has no
//! marking counts as [`UNMARKED`].
//! Source: FIRST Traffic Light Protocol 2.0 (marking of mail in subject and text).
//! Not here: MIME and headers (`mail`), what is in the message (`queue`).

mod attachments;
mod contact;
mod outsider;
mod words;

pub(super) use attachments::{csv, ndjson};

use super::message::{Lane, Language, Message, Notice};
use contact::{EN, KO};
use jiff::tz::TimeZone;
use model::{Category, Timestamp, Tlp};
use serde_json::Value;
use std::collections::BTreeMap;
use words::{category, label, sharing};

/// Lines of a text at the most, on one screen.
#[cfg(test)]
const MAX_LINES: usize = 52;
/// Categories counted by name; the rest is one line.
const MAX_CATEGORIES: usize = 6;
/// Items told in the text.
const MAX_ITEMS: usize = 8;
/// Of them findings: what lies in the reader's own network comes first.
const MAX_FINDINGS: usize = 4;
/// Characters of a value or a name in the text.
const MAX_SHOWN: usize = 64;
/// Characters of a subscription's name in a subject.
const MAX_SUBJECT_NAME: usize = 40;
/// The marking of what carries none, as findings do.
const UNMARKED: Tlp = Tlp::Amber;
/// The realm that is no exercise.
/// The realm in which nothing is an exercise.
pub(super) const MAIN_REALM: &str = "main";

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The strictest marking of its contents.
    pub tlp: Tlp,
    /// Its subject.
    pub subject: String,
    /// A subject that tells nothing, for mail whose text is encrypted.
    pub neutral_subject: String,
    /// Its text.
    pub text: String,
}

/// Writes a message as a letter. `link` is the hub's address, times are told in `zone`.
pub fn letter(message: &Message, link: Option<&str>, zone: &TimeZone) -> Letter {
    let tlp = strictest(message);
    let mut text = String::new();
    let mut line = |part: &str| {
        text.push_str(part);
        text.push('\n');
    };
    line(&format!("[{}] {}", label(tlp), sharing(tlp, message.language)));
    if message.realm != MAIN_REALM {
        line(&exercise(message));
    }
    line("");
    let lines = match &message.notice {
        Some(notice) => notice_lines(message, notice, zone),
        None => content_lines(message, zone),
    };
    lines.iter().for_each(|part| line(part));
    line("");
    closing_lines(message, link).iter().for_each(|part| line(part));
    let tag = format!("[{}] {}", label(tlp), brand(message));
    let neutral = in_language(message.language, "암호화된 메시지", "encrypted message");
    Letter { tlp, subject: format!("{tag} {}", subject(message)), neutral_subject: format!("{tag} {neutral}"), text }
}

/// The strictest marking of what a message carries.
pub fn strictest(message: &Message) -> Tlp {
    // A marking that nobody knows is taken for the strictest.
    let events = message.events.iter().map(|event| field(event, "tlp").and_then(Tlp::parse).unwrap_or(Tlp::Red));
    let unmarked = !message.findings.is_empty() || !message.withdrawn.is_empty() || message.notice.is_some();
    events.chain(unmarked.then_some(UNMARKED)).max().unwrap_or(UNMARKED)
}

fn in_language<'t>(language: Language, ko: &'t str, en: &'t str) -> &'t str {
    match language {
        Language::Ko => ko,
        Language::En => en,
    }
}

/// `[봉수]`, with the exercise's name where it is one.
fn brand(message: &Message) -> String {
    let name = in_language(message.language, "[봉수]", "[Bongsu]");
    if message.realm == MAIN_REALM {
        return name.to_owned();
    }
    format!("{name} [{} {}]", in_language(message.language, "훈련", "EXERCISE"), plain(&message.realm, MAX_SUBJECT_NAME))
}

fn exercise(message: &Message) -> String {
    match message.language {
        Language::Ko => format!("※ 훈련({}) 메시지입니다. 실제 상황이 아닙니다.", plain(&message.realm, MAX_SHOWN)),
        Language::En => format!("This is an exercise ({}), not the real thing.", plain(&message.realm, MAX_SHOWN)),
    }
}

/// A subject without marking and brand.
fn subject(message: &Message) -> String {
    let name = plain(&message.name, MAX_SUBJECT_NAME);
    let what = match (&message.notice, message.language) {
        (Some(Notice::Confirm { .. }), Language::Ko) => "수신 주소 확인 요청".to_owned(),
        (Some(Notice::Confirm { .. }), Language::En) => "confirm this address".to_owned(),
        (Some(Notice::Contact { .. }), Language::Ko) => "연락처 확인 요청".to_owned(),
        (Some(Notice::Contact { .. }), Language::En) => "please confirm this contact".to_owned(),
        (Some(Notice::Test), Language::Ko) => "시험 메시지".to_owned(),
        (Some(Notice::Test), Language::En) => "test message".to_owned(),
        (Some(Notice::Parked { .. }), Language::Ko) => "전송 보류 안내".to_owned(),
        (Some(Notice::Parked { .. }), Language::En) => "delivery parked".to_owned(),
        (None, language) => counted(message, language),
    };
    let urgent = match (message.lane, &message.notice) {
        (Lane::Warning, None) => in_language(message.language, "[경보] ", "[WARNING] "),
        (Lane::Warning | Lane::Ordinary, _) => "",
    };
    format!("{urgent}{what} - {name}")
}

/// How much of what a message carries: `위협정보 12건, 자산 탐지 3건`.
fn counted(message: &Message, language: Language) -> String {
    let parts: Vec<String> = [
        (message.events.len(), "위협정보", "event", "events"),
        (message.findings.len(), "자산 탐지", "finding", "findings"),
        (message.withdrawn.len(), "철회", "withdrawal", "withdrawals"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, ko, one, many)| match language {
        Language::Ko => format!("{ko} {count}건"),
        Language::En => format!("{count} {}", if count == 1 { one } else { many }),
    })
    .collect();
    if parts.is_empty() { in_language(language, "새 정보 없음", "nothing new").to_owned() } else { parts.join(", ") }
}

/// The hub's own words.
fn notice_lines(message: &Message, notice: &Notice, zone: &TimeZone) -> Vec<String> {
    let (name, organisation) = (plain(&message.name, MAX_SHOWN), plain(&message.organisation, MAX_SHOWN));
    let lines: Vec<String> = match (notice, message.language) {
        (Notice::Confirm { code, until }, Language::Ko) => vec![
            format!("{organisation}에서 이 주소를 구독 '{name}'의 수신처로 등록하였습니다."),
            "수신을 원하시면 아래 확인 코드를 허브에 입력해 주십시오.".to_owned(),
            String::new(),
            format!("  확인 코드: {}", plain(code, MAX_SHOWN)),
            format!("  유효 기한: {}", moment(*until, zone)),
            String::new(),
            "요청하신 적이 없다면 이 메일을 무시하시면 됩니다.".to_owned(),
            "확인하기 전에는 어떠한 정보도 이 주소로 발송되지 않습니다.".to_owned(),
        ],
        (Notice::Confirm { code, until }, Language::En) => vec![
            format!("{organisation} has given this address for the subscription"),
            format!("'{name}'. To receive it, give the hub this code:"),
            String::new(),
            format!("  code:  {}", plain(code, MAX_SHOWN)),
            format!("  until: {}", moment(*until, zone)),
            String::new(),
            "If nobody asked you, leave it. Nothing is sent here before.".to_owned(),
        ],
        (Notice::Contact { link, token }, Language::Ko) => [KO, EN].iter().flat_map(|words| words.lines(&organisation, link.as_deref(), token)).collect(),
        (Notice::Contact { link, token }, Language::En) => [EN, KO].iter().flat_map(|words| words.lines(&organisation, link.as_deref(), token)).collect(),
        (Notice::Test, Language::Ko) => {
            vec![format!("구독 '{name}'의 시험 메시지입니다."), "이 메시지를 받으셨다면 전송 설정이 정상입니다. 조치하실 사항은 없습니다.".to_owned()]
        }
        (Notice::Test, Language::En) => {
            vec![format!("This is a test of the subscription '{name}'."), "It has arrived, and there is nothing to do.".to_owned()]
        }
        (Notice::Parked { error }, Language::Ko) => vec![
            format!("구독 '{name}'의 수신처가 장시간 응답하지 않아 전송을 보류하였습니다."),
            "대기 중인 메시지는 허브에 보관되어 있습니다. 원인을 조치하신 뒤 전송을 재개해 주십시오.".to_owned(),
            String::new(),
            format!("  마지막 오류: {}", plain(error, 2 * MAX_SHOWN)),
        ],
        (Notice::Parked { error }, Language::En) => vec![
            format!("The receiver of the subscription '{name}' has taken nothing"),
            "for too long; sending is parked. What waits is kept at the hub.".to_owned(),
            "Mend the receiver and resume the subscription.".to_owned(),
            String::new(),
            format!("  last error: {}", plain(error, 2 * MAX_SHOWN)),
        ],
    };
    lines
}

fn content_lines(message: &Message, zone: &TimeZone) -> Vec<String> {
    let language = message.language;
    let (name, organisation) = (plain(&message.name, MAX_SHOWN), plain(&message.organisation, MAX_SHOWN));
    let all = counted(message, language);
    let mut lines = match (language, message.lane) {
        _ if message.is_to_outsider() => outsider::opening(&all),
        (Language::Ko, Lane::Warning) => {
            vec![format!("{organisation} 담당자님께"), String::new(), format!("긴급히 확인하실 정보를 알려 드립니다: {all}"), format!("(구독 '{name}')")]
        }
        (Language::Ko, Lane::Ordinary) => {
            vec![format!("{organisation} 담당자님께"), String::new(), format!("구독 '{name}'의 조건에 해당하는 정보를 알려 드립니다."), format!("{all}입니다.")]
        }
        (Language::En, Lane::Warning) => {
            vec![format!("To {organisation}"), String::new(), format!("Please look at this at once: {all}"), format!("(subscription '{name}')")]
        }
        (Language::En, Lane::Ordinary) => {
            vec![format!("To {organisation}"), String::new(), format!("What your subscription '{name}' asks for:"), format!("{all}.")]
        }
    };
    let counts = count_lines(message);
    if !counts.is_empty() {
        lines.extend([String::new(), in_language(language, "■ 유형별 건수", "By category").to_owned()]);
        lines.extend(counts);
    }
    let items = item_lines(message, zone);
    if !items.is_empty() {
        lines.extend([String::new(), in_language(language, "■ 최근 항목", "Newest").to_owned()]);
        lines.extend(items);
    }
    if message.is_to_outsider() {
        lines.extend(outsider::advice(&message.findings));
    }
    if !message.withdrawn.is_empty() {
        lines.push(String::new());
        let count = message.withdrawn.len();
        lines.push(match language {
            Language::Ko => format!("■ 철회: 앞서 보내 드린 정보 중 {count}건이 철회되었습니다."),
            Language::En => format!("Withdrawn: {count} of what was sent earlier no longer stands."),
        });
        lines.push(in_language(language, "  차단 목록과 탐지 규칙에서 제외해 주십시오.", "Please take it out of blocklists and rules.").to_owned());
    }
    if message.left_out > 0 {
        lines.push(String::new());
        let count = message.left_out;
        lines.push(match language {
            _ if message.is_to_outsider() => outsider::left_out(count),
            Language::Ko => format!("이 밖에 {count}건은 이 메일에 담지 못하였습니다. 허브에서 검색하여 확인해 주십시오."),
            Language::En => format!("{count} more matched and are not in this mail; a search at the hub finds them."),
        });
    }
    lines
}

/// How many of which category, the most frequent first.
fn count_lines(message: &Message) -> Vec<String> {
    let mut counts: BTreeMap<Category, usize> = BTreeMap::new();
    for item in message.events.iter().chain(&message.findings) {
        let named = field(item, "category").and_then(Category::parse).unwrap_or(Category::Undetermined);
        *counts.entry(named).or_default() += 1;
    }
    let mut counts: Vec<(Category, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(named, count)| (std::cmp::Reverse(*count), *named));
    let rest: usize = counts.iter().skip(MAX_CATEGORIES).map(|(_, count)| count).sum();
    let mut lines: Vec<String> =
        counts.iter().take(MAX_CATEGORIES).map(|(named, count)| format!("{count:>7}  {}", category(*named, message.language))).collect();
    if rest > 0 {
        lines.push(format!("{rest:>7}  {}", in_language(message.language, "그 밖의 유형", "other categories")));
    }
    lines
}

/// The newest of what is in a message, two lines each.
fn item_lines(message: &Message, zone: &TimeZone) -> Vec<String> {
    let findings = newest(&message.findings, "last_time", MAX_FINDINGS);
    let events = newest(&message.events, "seq", MAX_ITEMS - findings.len());
    let told = findings.len() + events.len();
    let mut lines = Vec::new();
    for finding in findings {
        let of_yours = in_language(message.language, "(귀 기관 자산)", "(yours)");
        lines.push(format!("- {} {of_yours}", heading(finding, "last_time", message.language, zone)));
        lines.push(format!("  {}", shown(field(finding, "type"), field(finding, "value").unwrap_or_default())));
    }
    for event in events {
        lines.push(format!("- {}", heading(event, "time", message.language, zone)));
        let observables = event.get("observables").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let attackers = observables.iter().find(|observable| field(observable, "role") == Some("attacker"));
        let value = attackers.or(observables.first()).map(|observable| shown(field(observable, "type"), field(observable, "value").unwrap_or_default()));
        let more = observables.len().saturating_sub(1);
        let more = if more > 0 { format!(" (+{more})") } else { String::new() };
        lines.push(format!("  {}{more}", value.unwrap_or_else(|| "-".to_owned())));
    }
    let untold = (message.events.len() + message.findings.len()).saturating_sub(told);
    if untold > 0 {
        lines.push(match message.language {
            Language::Ko => format!("  외 {untold}건은 첨부 파일을 참고해 주십시오."),
            Language::En => format!("  and {untold} more in the attachments"),
        });
    }
    lines
}

/// Up to `limit` items, those with the largest of a field first.
fn newest<'m>(items: &'m [Value], by: &str, limit: usize) -> Vec<&'m Value> {
    let key = |item: &Value| {
        let value = item.get(by);
        (value.and_then(Value::as_u64).unwrap_or(0), value.and_then(Value::as_str).and_then(|text| Timestamp::parse(text).ok()).unwrap_or(Timestamp::MIN))
    };
    let mut sorted: Vec<&Value> = items.iter().collect();
    sorted.sort_by_key(|item| std::cmp::Reverse(key(item)));
    sorted.truncate(limit);
    sorted
}

/// When and what: `2026-11-21 19:26 KST 피싱 (Emotet)`.
fn heading(item: &Value, time: &str, language: Language, zone: &TimeZone) -> String {
    let when = field(item, time).and_then(|text| Timestamp::parse(text).ok()).map(|time| moment(time, zone)).unwrap_or_default();
    let what = category(field(item, "category").and_then(Category::parse).unwrap_or(Category::Undetermined), language);
    let malware = field(item, "malware").map(|name| format!(" ({})", plain(name, 24))).unwrap_or_default();
    format!("{when} {what}{malware}")
}

fn closing_lines(message: &Message, link: Option<&str>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    if message.notice.is_none() {
        let about: &[&str] = match message.language {
            Language::Ko => &[
                "전체 내용은 첨부 파일(CSV, NDJSON)에 있습니다. 본문의 주소는 오클릭을 막기 위해",
                "hxxp, [.]로 바꾸어 적었으나 첨부 파일의 값은 원본이니 주의하시기 바랍니다.",
            ],
            Language::En => {
                &["All of it is attached (CSV, NDJSON). Addresses are defanged here", "(hxxp, [.]), but not in the attachments: handle them with care."]
            }
        };
        lines.extend(about.iter().map(|&part| part.to_owned()));
        lines.push(String::new());
    }
    if let Some(link) = link {
        lines.push(format!("{}: {link}", in_language(message.language, "허브", "Hub")));
    }
    let (subscription, id) = (plain(&message.subscription, MAX_SHOWN), plain(&message.id, MAX_SHOWN));
    // Who reads a contact may know nothing of subscriptions, and answers.
    let is_to_contact = matches!(message.notice, Some(Notice::Contact { .. }));
    if !is_to_contact && !message.is_to_outsider() {
        lines.push(format!("{}: {subscription}", in_language(message.language, "구독", "Subscription")));
    }
    lines.push(format!("{}: {id}", in_language(message.language, "메시지", "Message")));
    if message.is_to_outsider() {
        lines.extend(outsider::closing());
        return lines;
    }
    if is_to_contact {
        return lines;
    }
    lines.push(
        in_language(
            message.language,
            "이 메일은 발신 전용입니다. 수신 변경은 허브의 구독 설정을 이용해 주십시오.",
            "Sent by a machine; replies are not read. Change the subscription at the hub.",
        )
        .to_owned(),
    );
    lines
}

/// A moment in a zone, to the minute: `2026-11-21 19:26 KST`.
fn moment(time: Timestamp, zone: &TimeZone) -> String {
    let Ok(time) = jiff::Timestamp::from_microsecond(time.micros()) else { return time.to_string() };
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
}

/// A text field of an object.
fn field<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

/// A value as it may stand in a text: without what a reader would follow, and shortened.
fn shown(kind: Option<&str>, value: &str) -> String {
    plain(&defanged(kind, value), MAX_SHOWN)
}

/// A value that no program makes a link of: `hxxp://evil[.]example`.
pub(super) fn defanged(kind: Option<&str>, value: &str) -> String {
    if matches!(kind, Some("md5" | "sha1" | "sha256" | "sha512" | "ssdeep" | "asn" | "cve" | "ja3" | "x509-sha1" | "x509-sha256" | "bitcoin" | "mac")) {
        return value.to_owned();
    }
    let mut out = String::with_capacity(value.len() + 16);
    let is_scheme = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-'));
    let rest = match value.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) {
        Some((scheme, rest)) => {
            out.push_str(&scheme.to_ascii_lowercase().replace("tt", "xx").replace("ftp", "fxp"));
            out.push_str("://");
            rest
        }
        None => value,
    };
    // An address inside an address.
    let rest = rest.replace("://", "[:]//");
    for character in rest.chars() {
        match character {
            '.' => out.push_str("[.]"),
            '@' => out.push_str("[@]"),
            _ => out.push(character),
        }
    }
    out
}

/// A text from outside on one line: without control characters and those that turn or hide text, and shortened.
pub(super) fn plain(text: &str, limit: usize) -> String {
    let hidden = |character: char| {
        matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
            || matches!(character, '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
    };
    let mut kept = text.trim().chars().map(|character| if character.is_control() || hidden(character) { ' ' } else { character });
    let mut out: String = kept.by_ref().take(limit).collect();
    if kept.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
