//! Text to tokens.

use zhiyin_core::Problem;

use super::{Literal, Operator, problem};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Word(String),
    Value(Literal),
    Operator(Operator),
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
    End,
}

/// A token and the byte where it begins.
pub(super) type Placed = (usize, Token);

pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, Problem> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (token, length) = token_at(text, at, c)?;
        out.push((at, token));
        at += length;
    }
    out.push((text.len(), Token::End));
    Ok(out)
}

fn token_at(text: &str, at: usize, first: char) -> Result<(Token, usize), Problem> {
    match first {
        '(' => Ok((Token::Open, 1)),
        ')' => Ok((Token::Close, 1)),
        '[' => Ok((Token::OpenList, 1)),
        ']' => Ok((Token::CloseList, 1)),
        ',' => Ok((Token::Comma, 1)),
        '"' | '\'' => quoted(text, at, first),
        '=' | '!' | '<' | '>' => operator(text, at),
        '-' | '0'..='9' => number(text, at),
        c if c.is_alphabetic() || c == '_' => Ok(word(text, at)),
        c => Err(problem(at, "a field, a value or an operator", &format!("{c:?}"))),
    }
}

fn operator(text: &str, at: usize) -> Result<(Token, usize), Problem> {
    const OPERATORS: [(&str, Operator); 7] = [
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("=", Operator::Equal),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    let known = OPERATORS.iter().find(|(sign, _)| text[at..].starts_with(sign));
    let (sign, operator) = known.ok_or_else(|| problem(at, "an operator", &text[at..=at]))?;
    Ok((Token::Operator(*operator), sign.len()))
}

/// A string ends at the same quote; a backslash takes the next character literally.
fn quoted(text: &str, at: usize, quote: char) -> Result<(Token, usize), Problem> {
    let mut content = String::new();
    let mut characters = text[at + 1..].char_indices();
    while let Some((offset, c)) = characters.next() {
        match c {
            '\\' => content.extend(characters.next().map(|(_, escaped)| escaped)),
            c if c == quote => return Ok((Token::Value(Literal::Text(content)), offset + 2)),
            c => content.push(c),
        }
    }
    Err(problem(at, "a closing quote", "the end of the text"))
}

fn number(text: &str, at: usize) -> Result<(Token, usize), Problem> {
    let rest = &text[at..];
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
    let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    match rest[..length].parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((Token::Value(Literal::Number(value)), length)),
        _ => Err(problem(at, "a finite number", &rest[..length])),
    }
}

fn word(text: &str, at: usize) -> (Token, usize) {
    let rest = &text[at..];
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let token = match &rest[..length] {
        "true" => Token::Value(Literal::Truth(true)),
        "false" => Token::Value(Literal::Truth(false)),
        "null" => Token::Value(Literal::Null),
        word => Token::Word(word.to_owned()),
    };
    (token, length)
}
