//! Words of a mail in Korean and English: categories, markings and what they allow.
//!
//! Source: KrCERT and RSIT usage for categories; FIRST TLP 2.0 for what a marking allows, in our own words.

use super::super::message::Language;
use model::{Category, Tlp};

/// A marking as it is written in mail.
pub const fn label(tlp: Tlp) -> &'static str {
    match tlp {
        Tlp::Clear => "TLP:CLEAR",
        Tlp::Green => "TLP:GREEN",
        Tlp::Amber => "TLP:AMBER",
        Tlp::AmberStrict => "TLP:AMBER+STRICT",
        Tlp::Red => "TLP:RED",
    }
}

/// What a reader may do with what is marked so.
pub const fn sharing(tlp: Tlp, language: Language) -> &'static str {
    let (ko, en) = match tlp {
        Tlp::Clear => ("공개 범위에 제한이 없습니다.", "May be passed on without limit."),
        Tlp::Green => ("공동체 안에서만 공유하고 외부에 공개하지 마십시오.", "Within the community, not in public."),
        Tlp::Amber => ("업무상 필요한 소속 기관과 고객에게만 공유하십시오.", "Your organisation and its clients, need to know."),
        Tlp::AmberStrict => ("소속 기관 안에서 업무상 필요한 사람에게만 공유하십시오.", "Your organisation only, need to know."),
        Tlp::Red => ("수신자 본인만 열람하고 누구에게도 공유하지 마십시오.", "For your eyes only; pass it to nobody."),
    };
    match language {
        Language::Ko => ko,
        Language::En => en,
    }
}

/// The name of a category for people.
pub const fn category(category: Category, language: Language) -> &'static str {
    let (ko, en) = match category {
        Category::Spam => ("스팸", "spam"),
        Category::HarmfulSpeech => ("유해 게시물", "harmful speech"),
        Category::Violence => ("불법·유해 콘텐츠", "violent or abusive content"),
        Category::InfectedSystem => ("악성코드 감염 시스템", "infected system"),
        Category::C2Server => ("명령제어(C2) 서버", "command and control server"),
        Category::MalwareDistribution => ("악성코드 유포지", "malware distribution"),
        Category::MalwareConfiguration => ("악성코드 설정 정보", "malware configuration"),
        Category::Scanner => ("스캐닝", "scanning"),
        Category::Sniffing => ("도청(스니핑)", "sniffing"),
        Category::SocialEngineering => ("사회공학 공격", "social engineering"),
        Category::IdsAlert => ("취약점 공격 탐지", "exploit attempt (known)"),
        Category::BruteForce => ("무차별 대입 공격", "login attempts"),
        Category::Exploit => ("취약점 공격 시도", "exploit attempt"),
        Category::PrivilegedAccountCompromise => ("관리자 계정 탈취", "privileged account compromise"),
        Category::UnprivilegedAccountCompromise => ("일반 계정 탈취", "account compromise"),
        Category::ApplicationCompromise => ("응용프로그램 침해", "application compromise"),
        Category::SystemCompromise => ("시스템 침해", "system compromise"),
        Category::Burglary => ("물리적 침입", "burglary"),
        Category::Dos => ("서비스 거부 공격(DoS)", "denial of service"),
        Category::Ddos => ("분산 서비스 거부 공격(DDoS)", "distributed denial of service"),
        Category::Misconfiguration => ("설정 오류", "misconfiguration"),
        Category::Sabotage => ("파괴 행위", "sabotage"),
        Category::Outage => ("장애", "outage"),
        Category::UnauthorisedInformationAccess => ("정보 무단 열람", "unauthorised access to information"),
        Category::UnauthorisedInformationModification => ("정보 무단 변조", "unauthorised modification"),
        Category::DataLoss => ("정보 소실", "data loss"),
        Category::DataLeak => ("정보 유출", "data leak"),
        Category::UnauthorisedUseOfResources => ("자원 무단 사용", "unauthorised use of resources"),
        Category::Copyright => ("저작권 침해", "copyright"),
        Category::Masquerade => ("사칭", "masquerade"),
        Category::Phishing => ("피싱", "phishing"),
        Category::WeakCrypto => ("취약한 암호 설정", "weak cryptography"),
        Category::DdosAmplifier => ("DDoS 증폭 악용 가능 서비스", "amplifier"),
        Category::PotentiallyUnwantedAccessible => ("불필요하게 노출된 서비스", "exposed service"),
        Category::InformationDisclosure => ("정보 노출", "information disclosure"),
        Category::VulnerableSystem => ("취약한 시스템", "vulnerable system"),
        Category::Other => ("기타", "other"),
        Category::Undetermined => ("미분류", "undetermined"),
        Category::Test => ("시험", "test"),
    };
    match language {
        Language::Ko => ko,
        Language::En => en,
    }
}
