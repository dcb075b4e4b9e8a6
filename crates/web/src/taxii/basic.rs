//! Basic authentication with a key as the password.
//!
//! Source: RFC 7617; RFC 4648, section 4 (base64).

/// Characters of the credentials at the most; a key has 68.
const MAX_LENGTH: usize = 1_024;

/// The password of an `Authorization` header of the Basic scheme, whatever the name before it.
pub fn password(header: &str) -> Option<String> {
    let (scheme, credentials) = header.trim().split_once(' ')?;
    let credentials = credentials.trim();
    if !scheme.eq_ignore_ascii_case("basic") || credentials.len() > MAX_LENGTH {
        return None;
    }
    let plain = String::from_utf8(decode(credentials.trim_end_matches('='))?).ok()?;
    plain.split_once(':').map(|(_, password)| password.to_owned()).filter(|password| !password.is_empty())
}

/// Base64 without its padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xFFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_what_follows_the_first_colon() {
        // Source: RFC 7617, section 2.
        assert_eq!(password("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").as_deref(), Some("open sesame"));
        assert_eq!(password("basic  OmE6Yg==").as_deref(), Some("a:b"));
        for wrong in ["Basic", "Basic ", "Bearer OmE6Yg==", "Basic QWxhZGRpbg==", "Basic Og==", "Basic *", "Basic /w=="] {
            assert_eq!(password(wrong), None, "{wrong}");
        }
    }
}
