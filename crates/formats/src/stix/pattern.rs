//! STIX patterns, read for the values they name.
//!
//! Flow: text → tokens (lazily) → groups of comparisons → those that say *equals a value*.
//! Invariant: tolerant and bounded. What is not understood is passed over up to the next `AND`, `OR` or bracket; a negated comparison never
//! gives a value; recursion ends at [`MAX_DEPTH`].
//! Not here: what a path means ([`super::paths`]); matching of patterns against traffic.
//!
//! Source: OASIS STIX 2.1, section 9 (patterning).

use super::lenient::clip;
use super::tokens::{Lexer, Token};

/// Longest pattern read, in bytes.
pub(crate) const MAX_PATTERN: usize = 64 * 1024;
/// Deepest nesting of brackets.
const MAX_DEPTH: u32 = 64;
/// Reasons kept; more would not be read.
const MAX_REASONS: usize = 3;
/// Most characters of a path in a reason.
const MAX_PATH_QUOTE: usize = 24;
/// Words that may follow a comparison.
const FOLLOWERS: [&str; 7] = ["AND", "OR", "FOLLOWEDBY", "WITHIN", "REPEATS", "START", "STOP"];

/// Why a pattern was not read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    /// Longer than the limit.
    #[error("pattern is longer than {MAX_PATTERN} bytes")]
    TooLong,
    /// Nested deeper than the limit.
    #[error("pattern is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// One comparison that equals a value, or one of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Object path in lower case, without quotes and list indices: `file:hashes.sha-256`.
    pub path: String,
    /// The values, unescaped.
    pub values: Vec<String>,
    /// Whether it holds only together with others (`AND`, `FOLLOWEDBY`).
    pub joined: bool,
}

/// What a pattern says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Comparisons in order.
    pub comparisons: Vec<Comparison>,
    /// Why others were passed over; the first few.
    pub skipped: Vec<String>,
}

impl Pattern {
    /// Notes why something was passed over.
    pub(super) fn skip(&mut self, reason: String) {
        if self.skipped.len() < MAX_REASONS && !self.skipped.contains(&reason) {
            self.skipped.push(reason);
        }
    }
}

/// A path as it may stand in a reason.
pub(super) fn quote(path: &str) -> String {
    clip(path, MAX_PATH_QUOTE).into_owned()
}

/// Reads a pattern.
///
/// # Errors
/// [`PatternError`] past a limit; anything else is passed over and said in [`Pattern::skipped`].
pub(super) fn read(text: &str) -> Result<Pattern, PatternError> {
    if text.len() > MAX_PATTERN {
        return Err(PatternError::TooLong);
    }
    let mut parser = Parser { tokens: Lexer::new(text), pattern: Pattern::default() };
    // A closing bracket too many ends the outermost group early; what follows is read as a further one.
    while parser.tokens.peek().is_some() {
        parser.group(0)?;
    }
    if parser.tokens.is_broken() {
        parser.pattern.skip("a quoted text does not end".to_owned());
    }
    Ok(parser.pattern)
}

struct Parser<'a> {
    tokens: Lexer<'a>,
    pattern: Pattern,
}

impl Parser<'_> {
    /// Reads up to the closing bracket or the end.
    fn group(&mut self, depth: u32) -> Result<(), PatternError> {
        if depth > MAX_DEPTH {
            return Err(PatternError::TooDeep);
        }
        let start = self.pattern.comparisons.len();
        let (mut joined, mut negated) = (false, false);
        while let Some(token) = self.tokens.advance() {
            match token {
                Token::Close => break,
                Token::Open => {
                    let inner = self.pattern.comparisons.len();
                    self.group(depth + 1)?;
                    if negated {
                        self.pattern.comparisons.truncate(inner);
                        self.pattern.skip("a group is negated".to_owned());
                    }
                }
                Token::Word(word) if word == "NOT" => {
                    negated = true;
                    continue;
                }
                Token::Word(word) if word == "AND" || word == "FOLLOWEDBY" => joined = true,
                Token::Word(word) if word == "EXISTS" => {
                    if matches!(self.tokens.peek(), Some(Token::Path(_))) {
                        self.tokens.advance();
                    }
                    self.pattern.skip("EXISTS names no value".to_owned());
                }
                Token::Path(path) => self.comparison(path, negated),
                Token::Word(_) | Token::Literal(_) | Token::Equals | Token::Operator | Token::Comma | Token::Junk => {}
            }
            negated = false;
        }
        if joined {
            for comparison in self.pattern.comparisons.iter_mut().skip(start) {
                comparison.joined = true;
            }
        }
        Ok(())
    }

    /// Reads what follows a path: `[NOT] = literal`, `[NOT] IN (…)`, `ISSUBSET range`; anything else is passed over.
    fn comparison(&mut self, path: String, negated: bool) {
        let mut negated = negated;
        while matches!(self.tokens.peek(), Some(Token::Word(word)) if word == "NOT") {
            self.tokens.advance();
            negated = true;
        }
        let values = match self.tokens.peek() {
            Some(Token::Equals) => {
                self.tokens.advance();
                self.literal().into_iter().collect()
            }
            // An address that is part of a range is what a range as value says.
            Some(Token::Word(word)) if word == "ISSUBSET" => {
                self.tokens.advance();
                self.literal().into_iter().collect()
            }
            Some(Token::Word(word)) if word == "IN" => {
                self.tokens.advance();
                self.list()
            }
            Some(Token::Word(_) | Token::Path(_) | Token::Literal(_) | Token::Open | Token::Close | Token::Operator | Token::Comma | Token::Junk) | None => {
                Vec::new()
            }
        };
        // Quotes in the wrong place leave half a value and text behind it: such a value is not trusted.
        let clean = match self.tokens.peek() {
            None | Some(Token::Close) => true,
            Some(Token::Word(word)) => FOLLOWERS.contains(&word.as_str()),
            Some(Token::Path(_) | Token::Literal(_) | Token::Open | Token::Equals | Token::Operator | Token::Comma | Token::Junk) => false,
        };
        let clean = clean && !self.tokens.is_broken();
        if !clean {
            self.resynchronise();
        }
        if negated {
            self.pattern.skip(format!("{} is negated", quote(&path)));
        } else if values.is_empty() || !clean {
            self.pattern.skip(format!("{} is not compared with a plain value", quote(&path)));
        } else {
            self.pattern.comparisons.push(Comparison { path, values, joined: false });
        }
    }

    fn literal(&mut self) -> Option<String> {
        if !matches!(self.tokens.peek(), Some(Token::Literal(_))) {
            return None;
        }
        match self.tokens.advance() {
            Some(Token::Literal(value)) => Some(value),
            _ => None,
        }
    }

    fn list(&mut self) -> Vec<String> {
        let (mut values, mut plain) = (Vec::new(), true);
        if !matches!(self.tokens.peek(), Some(Token::Open)) {
            return values;
        }
        self.tokens.advance();
        loop {
            match self.tokens.advance() {
                Some(Token::Literal(value)) => values.push(value),
                Some(Token::Comma) => {}
                Some(Token::Close) if plain => return values,
                Some(Token::Close) | None => return Vec::new(),
                Some(Token::Open | Token::Equals | Token::Operator | Token::Word(_) | Token::Path(_) | Token::Junk) => plain = false,
            }
        }
    }

    /// Passes over tokens up to what can begin or end a comparison.
    fn resynchronise(&mut self) {
        let mut depth = 0_u64;
        while let Some(token) = self.tokens.peek() {
            match token {
                Token::Close if depth == 0 => return,
                Token::Close => depth -= 1,
                Token::Open => depth += 1,
                Token::Word(word) if depth == 0 && matches!(word.as_str(), "AND" | "OR" | "FOLLOWEDBY") => return,
                Token::Word(_) | Token::Path(_) | Token::Literal(_) | Token::Equals | Token::Operator | Token::Comma | Token::Junk => {}
            }
            self.tokens.advance();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(pattern: &str) -> Vec<(String, Vec<String>)> {
        read(pattern).unwrap().comparisons.into_iter().map(|comparison| (comparison.path, comparison.values)).collect()
    }

    fn one(path: &str, values: &[&str]) -> (String, Vec<String>) {
        (path.to_owned(), values.iter().map(|&value| value.to_owned()).collect())
    }

    #[test]
    fn comparisons_that_equal_a_value_are_found() {
        for (pattern, expected) in [
            ("[domain-name:value = 'a.example.com']", vec![one("domain-name:value", &["a.example.com"])]),
            ("[domain-name:value='a.example.com']", vec![one("domain-name:value", &["a.example.com"])]),
            ("[file:hashes.'SHA-256' = 'ab' OR file:hashes.md5 == 'cd']", vec![one("file:hashes.sha-256", &["ab"]), one("file:hashes.md5", &["cd"])]),
            ("[file:hashes['SHA-1'] = 'ab']", vec![one("file:hashes.sha-1", &["ab"])]),
            ("[network-traffic:dst_ref.value IN ('a.b', 'c.d')]", vec![one("network-traffic:dst_ref.value", &["a.b", "c.d"])]),
            ("[email-message:to_refs[*].value = 'a@b.c']", vec![one("email-message:to_refs.value", &["a@b.c"])]),
            ("[autonomous-system:number = 15139]", vec![one("autonomous-system:number", &["15139"])]),
            ("[ipv4-addr:value ISSUBSET '198.51.100.0/24']", vec![one("ipv4-addr:value", &["198.51.100.0/24"])]),
            (r"[file:name = 'it\'s \\ here']", vec![one("file:name", &[r"it's \ here"])]),
            (
                "[ipv4-addr:value = '198.51.100.1'] AND [ipv4-addr:value = '198.51.100.2'] WITHIN 300 SECONDS REPEATS 5 TIMES",
                vec![one("ipv4-addr:value", &["198.51.100.1"]), one("ipv4-addr:value", &["198.51.100.2"])],
            ),
            ("([a:b = 'x'] FOLLOWEDBY [a:b = 'y']) START t'2014-06-29T00:00:00Z' STOP t'2014-07-05T00:00:00Z'", vec![one("a:b", &["x"]), one("a:b", &["y"])]),
        ] {
            assert_eq!(pairs(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_not_understood_is_passed_over_and_the_rest_taken() {
        for pattern in [
            "[a:b LIKE 'x%' AND c:d = 'y']",
            "[a:b MATCHES '^x$' OR c:d = 'y']",
            "[a:b != 'x' AND c:d = 'y']",
            "[a:b > 5 AND c:d = 'y']",
            "[a:b INVALID-CONDITION 80 AND c:d = 'y']",
            "[unconverted_term:ProcessObj.argument_list AND c:d = 'y']",
            "[unconverted_term:example:observable-1 OR c:d = 'y']",
            "[EXISTS a:b AND c:d = 'y']",
            "[a:b = 'it's broken' AND c:d = 'y']",
            "c:d = 'y'",
            "]) c:d = 'y'",
        ] {
            let found = pairs(pattern);
            assert!(!found.iter().any(|(path, _)| path == "a:b"), "{pattern}");
            if !pattern.contains("it's") {
                assert_eq!(found, [one("c:d", &["y"])], "{pattern}");
            }
        }
    }

    #[test]
    fn a_negated_value_is_never_taken() {
        for pattern in
            ["[a:b NOT = 'x']", "[NOT a:b = 'x']", "[NOT (a:b = 'x' OR a:b = 'y')]", "[a:b NOT IN ('x', 'y')]", "NOT [a:b = 'x']", "[a:b NOT LIKE 'x']"]
        {
            let pattern_read = read(pattern).unwrap();
            assert!(pattern_read.comparisons.is_empty(), "{pattern}");
            assert!(!pattern_read.skipped.is_empty(), "{pattern}");
        }
    }

    #[test]
    fn comparisons_under_and_are_joined() {
        let joined = |pattern: &str| read(pattern).unwrap().comparisons.iter().map(|comparison| comparison.joined).collect::<Vec<_>>();
        assert_eq!(joined("[a:b = 'x' OR a:b = 'y']"), [false, false]);
        assert_eq!(joined("[a:b = 'x' AND (a:b = 'y' OR a:b = 'z')]"), [true, true, true]);
        assert_eq!(joined("[a:b = 'x'] OR [a:b = 'y' AND a:b = 'z']"), [false, true, true]);
    }

    #[test]
    fn limits_are_named() {
        assert_eq!(read(&"a".repeat(MAX_PATTERN + 1)), Err(PatternError::TooLong));
        assert_eq!(read(&"(".repeat(1000)), Err(PatternError::TooDeep));
        assert_eq!(read(&"[".repeat(60)).map(|pattern| pattern.comparisons.len()), Ok(0));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_fail(text in "\\PC{0,200}") {
            let _ = read(&text);
        }

        #[test]
        fn no_mixture_of_pattern_parts_makes_the_reader_fail(parts in proptest::collection::vec(proptest::sample::select(vec![
            "[", "]", "(", ")", "'", "'x'", "=", "!=", "IN", "NOT", "AND", "OR", "LIKE", ",", "a:b", "file:hashes.'SHA-256'", "a:b[*].c", "[1]", " ", "t'", "\\", "7", "EXISTS", "é",
        ]), 0..60)) {
            let _ = read(&parts.concat());
            let _ = read(&parts.join(" "));
        }
    }
}
