//! Takes defanging away: `hxxp[:]//evil[.]com` becomes `http://evil.com`.
//!
//! Invariant: only scheme and host are touched, for a path may rightly hold `hxxps` or `[.]`; a text that is not defanged is borrowed.
//! Not here: whether the result is a value of any type.

use std::borrow::Cow;

/// Schemes as reports write them, and what they stand for.
const DEFANGED_SCHEMES: &[(&str, &str)] = &[
    ("hxxp", "http"),
    ("hxxps", "https"),
    ("hxtp", "http"),
    ("hxtps", "https"),
    ("htxp", "http"),
    ("htxps", "https"),
    ("hxp", "http"),
    ("hxps", "https"),
    ("hxxxp", "http"),
    ("hxxxps", "https"),
    ("h**p", "http"),
    ("h**ps", "https"),
    ("meow", "http"),
    ("meows", "https"),
    ("fxp", "ftp"),
    ("fxps", "ftps"),
    ("f*p", "ftp"),
];
/// The longest scheme looked at.
const MAX_SCHEME_BYTES: usize = 16;
/// The longest disguise of `://`.
const MAX_SEPARATOR_BYTES: usize = 12;
/// Marks as people write them out in running text, and what they stand for.
const WRITTEN_OUT: &[(&str, &str)] = &[(" dot ", "."), (" . ", "."), (" at ", "@"), (" @ ", "@"), ("[://]", "://"), (":\\\\", "://"), ("[/]", "/")];
/// Brackets inside brackets are opened this often.
const MAX_PASSES: usize = 8;

/// The text with scheme and host as a browser would take them; never the path.
///
/// Understood: `hxxp` and its kin, `[:]//`, `[://]`, `:\\`, `[s]`; `[.]`, `(.)`, `{.}`, `[.`, `.]`, `\.`, `[dot]`; `[@]`, `[at]`; `[:]`; `[/]` after the host.
pub fn refang(text: &str) -> Cow<'_, str> {
    let (scheme, rest) = split_scheme(text);
    let (authority, slash, path) = split_authority(rest);
    let plain = plain_authority(authority);
    let untouched = matches!(plain, Cow::Borrowed(_)) && !slash;
    match scheme {
        None | Some((_, false)) if untouched => Cow::Borrowed(text),
        None | Some(_) => {
            let mut out = String::with_capacity(text.len());
            if let Some((scheme, _)) = scheme {
                out.push_str(&scheme);
                out.push_str("://");
            }
            out.push_str(&plain);
            if slash {
                out.push('/');
            }
            out.push_str(path);
            Cow::Owned(out)
        }
    }
}

/// A running text with every disguise in it undone, paths included: to look for a value in it, never to be kept.
///
/// Of schemes the ones in lower case are known.
pub fn refang_text(text: &str) -> String {
    let mut plain = text.to_owned();
    for _ in 0..MAX_PASSES {
        let next = one_pass(&plain);
        if next == plain {
            break;
        }
        plain = next;
    }
    for (written, mark) in WRITTEN_OUT {
        plain = plain.replace(written, mark);
    }
    for secure in ["[s]://", "(s)://", "{s}://"] {
        plain = plain.replace(secure, "s://");
    }
    for (written, meant) in DEFANGED_SCHEMES {
        plain = plain.replace(&format!("{written}://"), &format!("{meant}://"));
    }
    plain
}

/// A scheme as it is meant, and whether it was written otherwise.
type Scheme<'a> = (Cow<'a, str>, bool);

/// The scheme, if there is one, and what follows its `://`.
fn split_scheme(text: &str) -> (Option<Scheme<'_>>, &str) {
    for usual in ["http", "https"] {
        if let Some(rest) = text.strip_prefix(usual).and_then(|rest| rest.strip_prefix("://")) {
            return (Some((Cow::Borrowed(usual), false)), rest);
        }
    }
    find_scheme(text).map_or((None, text), |(scheme, rest)| (Some(scheme), rest))
}

fn find_scheme(text: &str) -> Option<(Scheme<'_>, &str)> {
    if !text.as_bytes().first()?.is_ascii_alphabetic() {
        return None;
    }
    let end = text.bytes().take(MAX_SCHEME_BYTES).position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'+' | b'-')))?;
    let (name, rest) = text.split_at_checked(end)?;
    // One letter is a drive.
    if name.len() < 2 {
        return None;
    }
    let secure = ["[s]", "(s)", "{s}"].into_iter().find_map(|form| rest.strip_prefix(form));
    let after = separator(secure.unwrap_or(rest))?;
    let meant = DEFANGED_SCHEMES.iter().find(|(written, _)| name.eq_ignore_ascii_case(written)).map(|&(_, meant)| meant);
    let differs = meant.is_some() || secure.is_some() || !rest.starts_with("://");
    let mut scheme = Cow::Borrowed(meant.unwrap_or(name));
    if secure.is_some() {
        scheme.to_mut().push('s');
    }
    Some(((scheme, differs), after))
}

/// What follows a colon and two slashes, each of them bracketed or not.
fn separator(text: &str) -> Option<&str> {
    let (mut colon, mut slashes, mut open) = (false, 0, 0);
    for (index, byte) in text.bytes().enumerate().take(MAX_SEPARATOR_BYTES) {
        match byte {
            b':' if !colon => colon = true,
            b'/' | b'\\' if colon => slashes += 1,
            b'[' | b'(' | b'{' => open += 1,
            b']' | b')' | b'}' if open > 0 => open -= 1,
            _ => return None,
        }
        if slashes == 2 {
            let after = text.get(index + 1..)?;
            return Some(if open > 0 { after.strip_prefix([']', ')', '}']).unwrap_or(after) } else { after });
        }
    }
    None
}

/// Authority, whether a bracketed slash `[/]` follows it, and the rest (which holds the slash if it is not bracketed).
fn split_authority(text: &str) -> (&str, bool, &str) {
    let bytes = text.as_bytes();
    let end = bytes.iter().enumerate().position(|(index, &byte)| match byte {
        b'/' | b'?' | b'#' => true,
        b'\\' => bytes.get(index + 1) != Some(&b'.'),
        _ => false,
    });
    let Some((authority, path)) = end.and_then(|end| text.split_at_checked(end)) else { return (text, false, "") };
    for (open, close) in [('[', "/]"), ('(', "/)"), ('{', "/}")] {
        if let (Some(authority), Some(path)) = (authority.strip_suffix(open), path.strip_prefix(close)) {
            return (authority, true, path);
        }
    }
    (authority, false, path)
}

fn plain_authority(authority: &str) -> Cow<'_, str> {
    if !authority.bytes().any(|byte| matches!(byte, b'[' | b']' | b'(' | b')' | b'{' | b'}' | b'\\')) {
        return Cow::Borrowed(authority);
    }
    let mut plain = Cow::Borrowed(authority);
    for _ in 0..MAX_PASSES {
        let next = one_pass(&plain);
        if next == plain {
            return plain;
        }
        plain = Cow::Owned(next);
    }
    // More brackets than anyone writes by hand: without any of them the form is final, so that the canonical form stays what it is.
    Cow::Owned(plain.chars().filter(|letter| !matches!(letter, '[' | ']' | '(' | ')' | '{' | '}' | '\\')).collect())
}

fn one_pass(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((mark, after)) = defanged_mark(rest) {
            out.push(mark);
            rest = after;
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

/// The mark that a text begins with in disguise, and what follows it.
fn defanged_mark(text: &str) -> Option<(char, &str)> {
    if let Some(inner) = text.strip_prefix(['[', '(', '{']) {
        for (written, mark) in [(".", '.'), ("dot", '.'), ("@", '@'), ("at", '@'), (":", ':')] {
            let Some((head, after)) = inner.split_at_checked(written.len()) else { continue };
            if !head.eq_ignore_ascii_case(written) {
                continue;
            }
            if let Some(after) = after.strip_prefix([']', ')', '}']) {
                return Some((mark, after));
            }
            if written == "." {
                return Some((mark, after));
            }
        }
        return None;
    }
    [".]", ".)", ".}", "\\."].into_iter().find_map(|form| text.strip_prefix(form)).map(|after| ('.', after))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_way_of_defanging_is_undone() {
        for (text, plain) in [
            ("hxxp://evil[.]com/x", "http://evil.com/x"),
            ("hXXps://evil(.)com", "https://evil.com"),
            ("http[:]//evil.com", "http://evil.com"),
            ("http[://]evil.com", "http://evil.com"),
            ("http[:][/][/]evil.com", "http://evil.com"),
            ("http[s]://evil.com", "https://evil.com"),
            ("hxxp[s]://evil.com", "https://evil.com"),
            ("hxxp:\\\\evil.com\\x", "http://evil.com\\x"),
            ("meow://evil.com", "http://evil.com"),
            ("evil[dot]com", "evil.com"),
            ("evil(DOT)com", "evil.com"),
            ("evil[.com", "evil.com"),
            ("evil.]com", "evil.com"),
            ("evil{.}com", "evil.com"),
            ("evil[[.]]com", "evil.com"),
            ("evil\\.com", "evil.com"),
            ("user[@]evil[.]com", "user@evil.com"),
            ("user[at]evil[.]com", "user@evil.com"),
            ("1[.]2[.]3[.]4[:]80", "1.2.3.4:80"),
            ("1[.]2[.]3[.]0[/]24", "1.2.3.0/24"),
            ("2001[:]db8[:][:]1", "2001:db8::1"),
        ] {
            assert_eq!(refang(text), plain, "{text:?}");
        }
    }

    #[test]
    fn every_disguise_in_a_running_text_is_undone() {
        for (text, held) in [
            ("mail of lee[at]household[.]kr, again", "lee@household.kr"),
            ("(lee (at) household (dot) kr)", "lee@household.kr"),
            ("lee at household dot kr", "lee@household.kr"),
            ("see hxxps://shop[.]kr/a[.]b now", "https://shop.kr/a.b"),
            ("h**p[:]//shop.kr and hxxp[s]://shop.kr", "http://shop.kr and https://shop.kr"),
            ("http[://]shop.kr", "http://shop.kr"),
            ("hxxp:\\\\shop.kr", "http://shop.kr"),
        ] {
            assert!(refang_text(text).contains(held), "{text}: {}", refang_text(text));
        }
    }

    #[test]
    fn a_long_run_of_brackets_is_final_after_one_call() {
        for run in ["2.}}}}}}}}}}}}}}}}}}}}", "a.))))))))))))))))))f-9", "[[[[[[[[[[[[[[[[[[[[[.b"] {
            let once = refang(run).into_owned();
            assert_eq!(refang(&once), once, "{run}");
        }
    }

    #[test]
    fn what_is_not_defanged_is_borrowed() {
        for text in [
            "http://evil.com/hxxps://other[.]com",
            "https://evil.com/a[.]b",
            "evil.com/x[.]exe",
            "evil.com:8080",
            "[2001:db8::1]:443",
            "http://[::1]/",
            "1.2.3.4",
            "C:\\\\Windows\\x.exe",
            "",
            "tcp://evil.com",
            "évil.com",
            "rztjo-dot-gleowayel400503.uc.r.appspot.com",
        ] {
            assert!(matches!(refang(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn refanging_twice_changes_nothing_more(text in "(hxxps?|http|meow)?(\\[:\\]//|://)?[a-z.@:/]{0,9}(\\[\\.\\]|\\[dot\\]|\\(\\.\\)|\\[)?[a-z.\\]]{0,9}") {
            let once = refang(&text).into_owned();
            prop_assert_eq!(refang(&once), once.as_str());
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            let _ = refang(&text);
        }
    }
}
