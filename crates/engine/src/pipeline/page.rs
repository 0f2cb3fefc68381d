//! Page tokens: which items the earlier pages showed, so that the next page never repeats one.
//!
//! The token carries the items themselves and nothing is kept between requests. It is not secret and not trusted: a forged one can
//! only make the client miss items.

use zhiyin_core::{ItemIx, Problem, limits};

/// First character of every token: its version.
const VERSION: char = '1';

/// The token for items that were shown.
pub(super) fn encode(shown: &[ItemIx]) -> String {
    let mut token = String::with_capacity(1 + shown.len() * 3);
    token.push(VERSION);
    for &item in shown {
        push_number(&mut token, item);
    }
    token
}

/// The items of a token.
///
/// # Errors
/// The token was not made by [`encode`] or holds more than [`limits::PAGED_ITEMS_MAX`] items.
pub(super) fn decode(token: &str) -> Result<Vec<ItemIx>, Problem> {
    let refuse = |rule: &str| Problem::field("page", rule, "use the next_page of an earlier answer, or none");
    let digits = token.strip_prefix(VERSION).ok_or_else(|| refuse("is not a page token of this version"))?;
    let mut shown = Vec::new();
    let (mut number, mut shift) = (0u64, 0);
    for c in digits.bytes() {
        let digit = DIGITS.iter().position(|&d| d == c).ok_or_else(|| refuse("has a character that no token has"))?;
        number |= (digit as u64 & 31) << shift;
        shift += 5;
        if digit < 32 {
            shown.push(ItemIx::try_from(number).map_err(|_| refuse("names an impossible item"))?);
            (number, shift) = (0, 0);
        } else if shift > 35 {
            return Err(refuse("names an impossible item"));
        }
    }
    if shift != 0 {
        return Err(refuse("is cut off"));
    }
    if shown.len() > limits::PAGED_ITEMS_MAX {
        return Err(refuse(&format!("holds more than {} items", limits::PAGED_ITEMS_MAX)));
    }
    Ok(shown)
}

/// Numbers in base 32, lowest digit first; the upper half of the alphabet says that more digits follow. All characters are safe in
/// a URL.
const DIGITS: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

fn push_number(token: &mut String, mut number: u32) {
    while number >= 32 {
        token.push(char::from(DIGITS[32 + (number & 31) as usize]));
        number >>= 5;
    }
    token.push(char::from(DIGITS[number as usize]));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn foreign_tokens_are_refused() {
        for token in ["", "x", "2a", "1!", "1Z", "1ZZZZZZZZZ0"] {
            assert_eq!(decode(token).unwrap_err().field, "page", "{token}");
        }
        assert!(decode(&encode(&vec![7; limits::PAGED_ITEMS_MAX + 1])).is_err());
    }

    proptest! {
        #[test]
        fn a_token_gives_back_its_items(items in proptest::collection::vec(any::<u32>(), 0..50)) {
            prop_assert_eq!(decode(&encode(&items)).unwrap(), items);
        }

        #[test]
        fn any_text_is_decoded_or_refused(token in "\\PC{0,40}") {
            let _ = decode(&token);
        }
    }
}
