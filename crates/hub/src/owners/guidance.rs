//! What an owner is advised to do, by category: one short text in each language of the hub.
//!
//! Not here: what is wrong with which value (`super`).

use model::Category;
use model::category::Class;
use serde::Serialize;

/// Advice in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Guidance {
    /// English.
    pub en: &'static str,
    /// Korean.
    pub ko: &'static str,
}

/// The advice for a category.
pub const fn guidance(category: Category) -> Guidance {
    let (en, ko) = match category {
        Category::InfectedSystem => (
            "A system in your network talks to malware infrastructure. Isolate it, keep its logs, clean or reinstall it, and change credentials used on it.",
            "귀 기관 망의 시스템이 악성코드 기반시설과 통신합니다. 해당 시스템을 격리하고 로그를 보존한 뒤 치료하거나 재설치하고, 사용된 계정의 비밀번호를 변경하십시오.",
        ),
        Category::C2Server | Category::MalwareDistribution | Category::MalwareConfiguration => (
            "This host serves or controls malware. It was likely broken into: take it offline, keep evidence, find the way in, and rebuild it.",
            "이 호스트가 악성코드를 유포하거나 제어합니다. 침해되었을 가능성이 높으므로 망에서 분리하고 증거를 보존한 뒤 침투 경로를 확인하고 재구축하십시오.",
        ),
        Category::Phishing | Category::Masquerade => (
            "A page or address of yours is used to deceive people. Remove it, look for how it got there, and tell those who may have been deceived.",
            "귀 기관의 페이지나 주소가 사칭에 쓰이고 있습니다. 해당 페이지를 삭제하고 게시 경로를 조사하며, 피해 가능성이 있는 이용자에게 알리십시오.",
        ),
        Category::DdosAmplifier => (
            "This service answers anyone and can be abused to flood others. Limit it to your own network or switch it off.",
            "이 서비스는 누구에게나 응답하여 증폭 공격에 악용될 수 있습니다. 내부 망으로 제한하거나 중지하십시오.",
        ),
        Category::Dos | Category::Ddos => (
            "This address takes part in or suffers from a flood. Check whether the traffic is yours, and ask your provider to filter.",
            "이 주소가 서비스 거부 공격에 관련되어 있습니다. 해당 트래픽을 확인하고 통신사업자에 차단을 요청하십시오.",
        ),
        _ => by_class(category.class()),
    };
    Guidance { en, ko }
}

/// The advice where the owner's value was the far side of what was seen: what infected systems talk to is no infected system.
pub const fn guidance_of_far_side(category: Category) -> Guidance {
    match category {
        Category::InfectedSystem => guidance(Category::C2Server),
        other => guidance(other),
    }
}

const fn by_class(class: Class) -> (&'static str, &'static str) {
    match class {
        Class::Vulnerable => (
            "This system is exposed or vulnerable. Apply the vendor's updates, restrict access to those who need it, and check whether it was used already.",
            "이 시스템이 노출되었거나 취약합니다. 제조사 업데이트를 적용하고 접근을 필요한 대상으로 제한하며, 이미 악용되었는지 점검하십시오.",
        ),
        Class::Intrusions | Class::MaliciousCode | Class::InformationContentSecurity => (
            "This system was likely broken into or lost data. Keep evidence, contain it, and report an incident where the law asks for it.",
            "이 시스템이 침해되었거나 정보가 유출되었을 수 있습니다. 증거를 보존하고 확산을 차단하며, 법령에 따른 침해사고 신고 의무를 확인하십시오.",
        ),
        Class::InformationGathering | Class::IntrusionAttempts => (
            "Attacks on others come from this address. Find the system or account behind it and check whether it is under someone else's control.",
            "이 주소에서 다른 기관에 대한 공격 시도가 관측되었습니다. 해당 시스템이나 계정을 찾아 제3자가 통제하고 있는지 점검하십시오.",
        ),
        Class::AbusiveContent => (
            "Unwanted mail or content comes from here. Check accounts, forms and mail relays, and stop what sends it.",
            "이곳에서 스팸이나 유해 콘텐츠가 발송됩니다. 계정, 입력 양식, 메일 중계 설정을 점검하고 발송을 중단시키십시오.",
        ),
        Class::Availability | Class::Fraud | Class::Other | Class::Test => (
            "Something was reported about this value. Check the system behind it and its logs around the times given.",
            "이 항목에 대한 신고가 접수되었습니다. 제시된 시각을 전후하여 해당 시스템과 로그를 점검하십시오.",
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn every_category_has_advice_in_both_languages() {
        for category in Category::ALL {
            let advice = guidance(*category);
            assert!(advice.en.ends_with('.') && advice.ko.ends_with("십시오."), "{category}");
        }
    }
}
