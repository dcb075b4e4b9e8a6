//! The words of a digest to an abuse contact, in both languages: whoever reads it knows nothing of the hub, nor do we know which it speaks.

use super::field;
use serde_json::Value;

/// Advice of different kinds that is told in the text.
const MAX_ADVICE: usize = 2;

/// What stands before what was found; `all` says how much.
pub(super) fn opening(all: &str) -> Vec<String> {
    let lines = [
        "네트워크 관리 담당자님께",
        "",
        "귀 기관이 관리하는 것으로 등록된 IP 주소에서 아래와 같은 문제가 확인되어 알려 드립니다.",
        "이 주소는 인터넷 주소 등록 정보의 침해사고(abuse) 연락처입니다.",
        "",
        "You are the abuse contact of addresses about which the following was reported.",
        "",
    ];
    lines.iter().map(|&line| line.to_owned()).chain([all.to_owned()]).collect()
}

/// What to do about the findings, the first kinds of it.
pub(super) fn advice(findings: &[Value]) -> Vec<String> {
    let mut told: Vec<(&str, &str)> = Vec::new();
    for guidance in findings.iter().filter_map(|finding| finding.get("guidance")) {
        let both = (field(guidance, "ko").unwrap_or_default(), field(guidance, "en").unwrap_or_default());
        if told.len() < MAX_ADVICE && !told.contains(&both) {
            told.push(both);
        }
    }
    let mut lines: Vec<String> = told.iter().flat_map(|(ko, en)| [format!("- {ko}"), format!("  {en}")]).collect();
    if !lines.is_empty() {
        lines.splice(0..0, [String::new(), "■ 조치 안내 / What to do".to_owned()]);
    }
    lines
}

/// What is said where not everything is in the mail.
pub(super) fn left_out(count: u64) -> String {
    format!("이 밖에 {count}건은 이 메일에 담지 못하였습니다. / {count} more are not in this mail.")
}

/// How to get no more of it.
pub(super) fn closing() -> Vec<String> {
    let lines = [
        "하루에 한 번까지만 발송됩니다. 더 이상 받지 않으시려면 '수신 거부'라고, 담당이 아니시라면 그렇게 답장해 주십시오.",
        "Sent once a day at the most. To get no more of these answer STOP; if it is not yours, answer so.",
    ];
    lines.iter().map(|&line| line.to_owned()).collect()
}
