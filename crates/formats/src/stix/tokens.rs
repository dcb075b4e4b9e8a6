//! Tokens of STIX patterns.
//!
//! Invariant: every character is part of some token or of white space; a quoted text that does not end stops the lexer.
//! Not here: what tokens mean together ([`super::pattern`]).

/// Longest index or quoted key in brackets, in bytes.
const MAX_INDEX: usize = 128;

/// One token of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// `[` or `(`.
    Open,
    /// `]` or `)`.
    Close,
    /// `,`.
    Comma,
    /// `=` or `==`.
    Equals,
    /// Any other comparison sign.
    Operator,
    /// A keyword, upper-case.
    Word(String),
    /// An object path, normalised.
    Path(String),
    /// A quoted text, number, time, truth value.
    Literal(String),
    /// A character that has no place in a pattern.
    Junk,
}

/// Cuts a pattern into tokens, one ahead.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    /// A quoted text did not end; nothing comes after.
    broken: bool,
    peeked: Option<Token>,
}

impl<'a> Lexer<'a> {
    /// A lexer at the beginning of a pattern.
    pub(super) const fn new(text: &'a str) -> Self {
        Self { rest: text, broken: false, peeked: None }
    }

    /// Whether a quoted text did not end; no token comes after.
    pub(super) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// The next token, left in place.
    pub(super) fn peek(&mut self) -> Option<&Token> {
        if self.peeked.is_none() {
            self.peeked = self.scan();
        }
        self.peeked.as_ref()
    }

    /// The next token, taken.
    pub(super) fn advance(&mut self) -> Option<Token> {
        match self.peeked.take() {
            Some(token) => Some(token),
            None => self.scan(),
        }
    }

    fn scan(&mut self) -> Option<Token> {
        let text = self.rest.trim_start();
        let mut chars = text.chars();
        let first = chars.next()?;
        let after = chars.as_str();
        let (token, rest) = match first {
            '[' | '(' => (Token::Open, after),
            ']' | ')' => (Token::Close, after),
            ',' => (Token::Comma, after),
            '=' => (Token::Equals, after.strip_prefix('=').unwrap_or(after)),
            '!' | '<' | '>' => (Token::Operator, after.trim_start_matches(['=', '>'])),
            '\'' | '"' => return self.quoted_literal(first, after),
            _ if is_word(first) => {
                let end = text.find(|next: char| !is_word(next)).unwrap_or(text.len());
                let (word, rest) = text.split_at_checked(end)?;
                if let Some(path) = rest.strip_prefix(':') {
                    return Some(self.path(word, path));
                }
                // t'…', h'…', b'…' are typed literals.
                if matches!(word, "t" | "h" | "b")
                    && let Some(value) = rest.strip_prefix('\'')
                {
                    return self.quoted_literal('\'', value);
                }
                let is_literal = word.starts_with(|next: char| next.is_ascii_digit() || matches!(next, '-' | '+' | '.'))
                    || word.eq_ignore_ascii_case("true")
                    || word.eq_ignore_ascii_case("false");
                (if is_literal { Token::Literal(word.to_owned()) } else { Token::Word(word.to_ascii_uppercase()) }, rest)
            }
            _ => (Token::Junk, after),
        };
        self.rest = rest;
        Some(token)
    }

    fn quoted_literal(&mut self, quote: char, text: &str) -> Option<Token> {
        // The remainder is cut from `rest` by length, so that it keeps the lexer's lifetime.
        let (value, remaining) = match quoted(quote, text) {
            Some((value, remaining)) => (Some(value), remaining.len()),
            None => (None, 0),
        };
        self.keep_last(remaining);
        self.broken |= value.is_none();
        value.map(Token::Literal)
    }

    fn path(&mut self, object: &str, text: &str) -> Token {
        let mut path = format!("{object}:");
        let mut rest = text;
        loop {
            let mut chars = rest.chars();
            match chars.next() {
                Some('\'') if path.ends_with(['.', ':']) => {
                    if let Some((key, after)) = quoted('\'', chars.as_str()) {
                        path.push_str(&key);
                        rest = after;
                    } else {
                        self.broken = true;
                        rest = "";
                        break;
                    }
                }
                Some('[') => {
                    let Some((index, after)) = index(chars.as_str()) else { break };
                    if let Some(key) = index.strip_prefix('\'').and_then(|key| key.strip_suffix('\'')) {
                        path.push('.');
                        path.push_str(key);
                    }
                    rest = after;
                }
                Some(next) if is_word(next) || next == ':' => {
                    path.push(next);
                    rest = chars.as_str();
                }
                Some(_) | None => break,
            }
        }
        self.keep_last(rest.len());
        path.make_ascii_lowercase();
        Token::Path(path)
    }

    fn keep_last(&mut self, length: usize) {
        let start = self.rest.len().saturating_sub(length);
        self.rest = self.rest.get(start..).unwrap_or_default();
    }
}

fn is_word(next: char) -> bool {
    next.is_alphanumeric() || matches!(next, '_' | '-' | '+' | '.')
}

/// A list index or key up to its closing bracket: `*`, digits, or a quoted key.
fn index(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().take(MAX_INDEX).position(|byte| byte == b']')?;
    let (index, after) = text.split_at_checked(end)?;
    let known = index.is_empty()
        || index == "*"
        || index.bytes().all(|byte| byte.is_ascii_digit())
        || (index.len() >= 2 && index.starts_with('\'') && index.ends_with('\''));
    if known { after.strip_prefix(']').map(|after| (index, after)) } else { None }
}

/// A quoted text, unescaped, and what follows it; `None` where it does not end.
fn quoted(quote: char, text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            next if next == quote => return Some((value, chars.as_str())),
            '\\' => match chars.next()? {
                escaped @ ('\\' | '\'' | '"') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            next => value.push(next),
        }
    }
}
