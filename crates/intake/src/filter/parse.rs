//! Tokens to an expression, by recursive descent with a bounded depth.

use zhiyin_core::{Problem, limits};

use super::{
    Expression, Field, Literal, Operator,
    lex::{Placed, Token},
    problem,
};

pub(super) struct Parser {
    tokens: Vec<Placed>,
    next: usize,
    depth: usize,
}

impl Parser {
    /// `tokens` ends with [`Token::End`].
    pub(super) fn new(tokens: Vec<Placed>) -> Self {
        Self { tokens, next: 0, depth: 0 }
    }

    pub(super) fn expression_to_end(mut self) -> Result<Expression, Problem> {
        let expression = self.any()?;
        match self.peek() {
            Token::End => Ok(expression),
            _ => Err(self.unexpected("\"and\", \"or\" or the end")),
        }
    }

    fn any(&mut self) -> Result<Expression, Problem> {
        let mut parts = vec![self.all()?];
        while self.take_word("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts) })
    }

    fn all(&mut self) -> Result<Expression, Problem> {
        let mut parts = vec![self.part()?];
        while self.take_word("and") {
            parts.push(self.part()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts) })
    }

    fn part(&mut self) -> Result<Expression, Problem> {
        if self.depth == limits::FILTER_DEPTH_MAX {
            let rule = format!("is nested more than {} deep", limits::FILTER_DEPTH_MAX);
            return Err(Problem::field("filter", rule, "use fewer parentheses and negations"));
        }
        self.depth += 1;
        let part = self.part_inside();
        self.depth -= 1;
        part
    }

    fn part_inside(&mut self) -> Result<Expression, Problem> {
        if self.take_word("not") {
            return Ok(Expression::Not(Box::new(self.part()?)));
        }
        if !self.take(&Token::Open) {
            return self.comparison();
        }
        let inside = self.any()?;
        self.expect(&Token::Close, "\")\"")?;
        Ok(inside)
    }

    fn comparison(&mut self) -> Result<Expression, Problem> {
        let field = self.field()?;
        if self.take_word("not") {
            return Ok(Expression::Not(Box::new(self.list_of(field)?)));
        }
        if matches!(self.peek(), Token::Word(word) if word == "in") {
            return self.list_of(field);
        }
        let operator = self.operator()?;
        Ok(Expression::Compare { field, operator, value: self.value()? })
    }

    fn list_of(&mut self, field: Field) -> Result<Expression, Problem> {
        if !self.take_word("in") {
            return Err(self.unexpected("\"in\""));
        }
        self.expect(&Token::OpenList, "\"[\"")?;
        let mut values = vec![self.value()?];
        while self.take(&Token::Comma) {
            values.push(self.value()?);
        }
        self.expect(&Token::CloseList, "\",\" or \"]\"")?;
        Ok(Expression::In { field, values })
    }

    fn field(&mut self) -> Result<Field, Problem> {
        const EXPECTED: &str = "a field (id, title, description, text, price, category, tag, available, published, expires or \
                                attributes.NAME)";
        let field = match self.peek() {
            Token::Word(word) => field_named(word),
            _ => None,
        };
        let field = field.ok_or_else(|| self.unexpected(EXPECTED))?;
        self.next += 1;
        Ok(field)
    }

    fn operator(&mut self) -> Result<Operator, Problem> {
        match self.peek() {
            Token::Operator(operator) => {
                let operator = *operator;
                self.next += 1;
                Ok(operator)
            }
            Token::Word(word) if word == "has" => {
                self.next += 1;
                Ok(Operator::Has)
            }
            _ => Err(self.unexpected("an operator")),
        }
    }

    fn value(&mut self) -> Result<Literal, Problem> {
        match self.peek() {
            Token::Value(value) => {
                let value = value.clone();
                self.next += 1;
                Ok(value)
            }
            _ => Err(self.unexpected("a value")),
        }
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.next].1
    }

    fn take(&mut self, token: &Token) -> bool {
        let is_next = self.peek() == token;
        self.next += usize::from(is_next);
        is_next
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Token::Word(next) if next == word);
        self.next += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, token: &Token, expected: &str) -> Result<(), Problem> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn unexpected(&self, expected: &str) -> Problem {
        let (at, token) = &self.tokens[self.next];
        let found = match token {
            Token::End => "the end of the text".to_owned(),
            Token::Word(word) => format!("{word:?}"),
            other => format!("{other:?}").to_lowercase(),
        };
        problem(*at, expected, &found)
    }
}

fn field_named(word: &str) -> Option<Field> {
    if let Some(name) = word.strip_prefix("attributes.") {
        return (!name.is_empty()).then(|| Field::Attribute(name.to_owned()));
    }
    match word {
        "id" => Some(Field::Id),
        "title" => Some(Field::Title),
        "description" => Some(Field::Description),
        "text" => Some(Field::Text),
        "price" => Some(Field::Price),
        "category" | "categories" => Some(Field::Category),
        "tag" | "tags" => Some(Field::Tag),
        "available" => Some(Field::Available),
        "published" => Some(Field::Published),
        "expires" => Some(Field::Expires),
        _ => None,
    }
}
