//! The words of a mail that asks a contact whether somebody reads it, in both languages: whose address it is knows ours, not which its readers speak.

use super::{MAX_SHOWN, plain};

/// Characters of a link: it is whole or of no use.
const MAX_LINK: usize = 500;

/// The words of one language.
pub(super) struct Words {
    /// Before the name of the organisation, and behind it.
    whose: (&'static str, &'static str),
    /// Why it is asked.
    why: &'static [&'static str],
    /// Before the link.
    open: &'static [&'static str],
    /// Before what a reply quotes, where there is no link.
    answer: &'static [&'static str],
    /// For those who should not have got it.
    otherwise: &'static str,
}

/// In Korean.
pub(super) const KO: Words = Words {
    whose: ("이 주소는 ", "의 침해사고 연락처로 등록되어 있습니다."),
    why: &["연락처가 살아 있는지 반년마다 확인하고 있습니다."],
    open: &["아래 주소를 열어 확인 단추를 눌러 주십시오."],
    answer: &["아래 줄을 남긴 채 이 메일에 답장하시거나, 기관 관리자가 허브에 입력해 주십시오."],
    otherwise: "귀 기관과 관계가 없다면 그대로 두시면 됩니다.",
};

/// In English.
pub(super) const EN: Words = Words {
    whose: ("This address is where ", " is told of security incidents."),
    why: &["Every half-year the hub asks whether somebody reads it."],
    open: &["If you do, open this and press the button:"],
    answer: &["If you do, answer this mail and leave the next line in it, or let", "your organisation's administrator give it to the hub:"],
    otherwise: "If it is not yours, leave it.",
};

impl Words {
    /// The lines of a mail.
    pub(super) fn lines(&self, organisation: &str, link: Option<&str>, token: &str) -> Vec<String> {
        let mut lines = vec![format!("{}{organisation}{}", self.whose.0, self.whose.1)];
        lines.extend(self.why.iter().map(|&line| line.to_owned()));
        let (words, what) = match link {
            Some(link) => (self.open, plain(link, MAX_LINK)),
            None => (self.answer, plain(token, MAX_SHOWN)),
        };
        lines.extend(words.iter().map(|&line| line.to_owned()));
        lines.extend([String::new(), format!("  {what}"), String::new(), self.otherwise.to_owned(), String::new()]);
        lines
    }
}
