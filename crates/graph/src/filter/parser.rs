//! Parser: builds a condition from tokens, typed against the model.
//!
//! ```text
//! or_expression    = and_expression { "or" and_expression }
//! and_expression   = unary_expression { "and" unary_expression }
//! unary_expression = "not" unary_expression | "(" or_expression ")" | test
//! test             = operand [ comparison operand | "in" "(" literal { "," literal } ")" | "has" text ]
//! operand          = literal | path [ "/any(" [ variable ":" or_expression ] ")" ]
//!                  | function "(" operand { "," operand } ")"
//! path             = name { "/" name }
//! ```

use super::lexer::{FilterToken, tokens};
use super::{
    DEPTH_MAX, FilterComparison, FilterCondition, FilterLiteral, FilterOperand, FilterPath, FilterTextFunction,
};
use crate::Edm;
use crate::body::{instant, is_date, is_guid};
use crate::edm::{Enum, TypeRef};

/// A syntax or type error at a byte position.
#[derive(Debug)]
pub(super) struct Error {
    pub(super) at: usize,
    pub(super) why: String,
}

/// Kind of an operand's value.
#[derive(Clone, Copy)]
enum Class<'e> {
    Null,
    Boolean,
    Number,
    Text,
    /// A date and time.
    Instant,
    Date,
    Enum(&'e Enum),
}

impl Class<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Instant => "a date and time",
            Self::Date => "a date",
            Self::Enum(declared) => &declared.name,
        }
    }
}

/// One side of a comparison, or a condition.
enum Term<'e> {
    Operand(FilterOperand, Class<'e>),
    Condition(FilterCondition),
}

/// Parses a whole filter.
pub(super) fn parse(edm: &Edm, type_name: &str, text: &str) -> Result<FilterCondition, Error> {
    let item = TypeRef { name: type_name.to_owned(), collection: false, nullable: false, navigation: false };
    let mut parser =
        Parser { edm, item, tokens: tokens(text)?, next: 0, end: text.len(), variables: Vec::new(), depth: 0 };
    let condition = parser.or_expression()?;
    match parser.peek() {
        None => Ok(condition),
        Some(_) => Err(parser.error("expected 'and', 'or' or the end")),
    }
}

struct Parser<'e, 't> {
    edm: &'e Edm,
    /// Type of the objects to be filtered.
    item: TypeRef,
    tokens: Vec<(usize, FilterToken<'t>)>,
    next: usize,
    /// Length of the text, bytes.
    end: usize,
    /// Variables of the enclosing `any`s with their types.
    variables: Vec<(&'t str, TypeRef)>,
    depth: usize,
}

impl<'e, 't> Parser<'e, 't> {
    fn or_expression(&mut self) -> Result<FilterCondition, Error> {
        self.deeper(|parser| {
            let mut parts = vec![parser.and_expression()?];
            while parser.take_word("or") {
                parts.push(parser.and_expression()?);
            }
            Ok(if parts.len() == 1 { parts.remove(0) } else { FilterCondition::Either(parts) })
        })
    }

    fn and_expression(&mut self) -> Result<FilterCondition, Error> {
        let mut parts = vec![self.unary_expression()?];
        while self.take_word("and") {
            parts.push(self.unary_expression()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { FilterCondition::All(parts) })
    }

    fn unary_expression(&mut self) -> Result<FilterCondition, Error> {
        if self.take_word("not") {
            return Ok(FilterCondition::Not(Box::new(self.deeper(Self::unary_expression)?)));
        }
        if self.take_sign('(') {
            let inner = self.or_expression()?;
            self.expect_sign(')')?;
            return Ok(inner);
        }
        self.test()
    }

    fn test(&mut self) -> Result<FilterCondition, Error> {
        let at = self.at();
        let (left, class) = match self.term()? {
            Term::Operand(left, class) => (left, class),
            Term::Condition(condition) => return self.compared_with_boolean(condition),
        };
        let operator_at = self.at();
        if self.take_word("in") {
            return self.is_in(left, class);
        }
        if self.take_word("has") {
            return self.has(left, class, operator_at);
        }
        let Some(comparison) = self.take_comparison() else {
            return match class {
                Class::Boolean => Ok(FilterCondition::IsTrue(left)),
                _ => Err(Error {
                    at,
                    why: format!("{} is not a condition; compare it, for example displayName eq 'x'", class.name()),
                }),
            };
        };
        if matches!(class, Class::Enum(_)) && !matches!(comparison, FilterComparison::Eq | FilterComparison::Ne) {
            return Err(Error {
                at: operator_at,
                why: format!("members of {} can only be compared with eq and ne", class.name()),
            });
        }
        let right_at = self.at();
        let Term::Operand(right, right_class) = self.term()? else {
            return Err(Error { at: right_at, why: "a condition cannot be compared".into() });
        };
        let (left, right) = match (left, right) {
            (FilterOperand::Literal(left), right) => {
                (FilterOperand::Literal(fit(left, class, right_class, at)?), right)
            }
            (left, FilterOperand::Literal(right)) => {
                (left, FilterOperand::Literal(fit(right, right_class, class, right_at)?))
            }
            (left, right) if is_same(class, right_class) => (left, right),
            _ => return Err(mismatch(right_class, class, right_at)),
        };
        Ok(FilterCondition::Compare { left, comparison, right })
    }

    /// Parses the rest of `contains(…) eq true`, which some clients write.
    fn compared_with_boolean(&mut self, condition: FilterCondition) -> Result<FilterCondition, Error> {
        let negated = match self.take_comparison() {
            None => return Ok(condition),
            Some(FilterComparison::Eq) => false,
            Some(FilterComparison::Ne) => true,
            Some(_) => return Err(self.error("conditions can only be compared with eq and ne")),
        };
        let (at, word) = self.word("true or false")?;
        let value = boolean(word).ok_or_else(|| Error { at, why: "expected true or false".into() })?;
        Ok(if value == negated { FilterCondition::Not(Box::new(condition)) } else { condition })
    }

    fn is_in(&mut self, left: FilterOperand, class: Class<'e>) -> Result<FilterCondition, Error> {
        self.expect_sign('(')?;
        let mut literals = Vec::new();
        loop {
            let at = self.at();
            let Term::Operand(FilterOperand::Literal(literal), literal_class) = self.term()? else {
                return Err(Error { at, why: "the list after 'in' may contain only values".into() });
            };
            literals.push(fit(literal, literal_class, class, at)?);
            if !self.take_sign(',') {
                break;
            }
        }
        self.expect_sign(')')?;
        Ok(FilterCondition::In { left, literals })
    }

    fn has(&mut self, left: FilterOperand, class: Class<'e>, operator_at: usize) -> Result<FilterCondition, Error> {
        let Class::Enum(declared) = class else {
            return Err(Error { at: operator_at, why: format!("'has' needs an enum property, not {}", class.name()) });
        };
        let at = self.at();
        let Some((_, FilterToken::Text(text))) = self.advance() else {
            return Err(Error { at, why: "expected quoted enum members".into() });
        };
        let members = text.split(',').map(|name| member(declared, name.trim(), at)).collect::<Result<_, _>>()?;
        Ok(FilterCondition::Has { left, members })
    }

    fn term(&mut self) -> Result<Term<'e>, Error> {
        let at = self.at();
        match self.advance() {
            Some((_, FilterToken::Text(text))) => Ok(text_literal(text)),
            Some((_, FilterToken::Word(word))) => {
                if self.take_sign('(') {
                    return self.deeper(|parser| parser.function(word, at));
                }
                match literal(word) {
                    Some((literal, class)) => Ok(Term::Operand(FilterOperand::Literal(literal), class)),
                    None if begins_as_number(word) => {
                        Err(Error { at, why: format!("'{word}' is not a number, date or GUID") })
                    }
                    None => self.path(word, at),
                }
            }
            _ => Err(Error { at, why: "expected a property, a value or a function".into() }),
        }
    }

    /// Parses a function after its opening parenthesis.
    fn function(&mut self, name: &'t str, at: usize) -> Result<Term<'e>, Error> {
        let known = |known: &str| name.eq_ignore_ascii_case(known);
        let change: Option<fn(Box<FilterOperand>) -> FilterOperand> = match () {
            () if known("tolower") => Some(FilterOperand::Lower),
            () if known("toupper") => Some(FilterOperand::Upper),
            () => None,
        };
        if let Some(change) = change {
            let inner = self.text()?;
            self.expect_sign(')')?;
            return Ok(Term::Operand(change(Box::new(inner)), Class::Text));
        }
        let function = match () {
            () if known("contains") => FilterTextFunction::Contains,
            () if known("startswith") => FilterTextFunction::StartsWith,
            () if known("endswith") => FilterTextFunction::EndsWith,
            () => {
                let known = "contains, startswith, endswith, tolower, toupper";
                return Err(Error { at, why: format!("unknown function '{name}'; supported are {known}") });
            }
        };
        let whole = self.text()?;
        self.expect_sign(',')?;
        let part = self.text()?;
        self.expect_sign(')')?;
        Ok(Term::Condition(FilterCondition::Text { function, whole, part }))
    }

    /// Parses a string argument; enum members are strings.
    fn text(&mut self) -> Result<FilterOperand, Error> {
        let at = self.at();
        match self.term()? {
            Term::Operand(FilterOperand::Literal(FilterLiteral::Guid(text)), _) => {
                Ok(FilterOperand::Literal(FilterLiteral::Text(text)))
            }
            Term::Operand(operand, Class::Text | Class::Enum(_)) => Ok(operand),
            Term::Operand(_, class) => Err(mismatch(class, Class::Text, at)),
            Term::Condition(_) => Err(Error { at, why: "expected a string, not a condition".into() }),
        }
    }

    /// Parses a property path after its first name.
    fn path(&mut self, first: &'t str, at: usize) -> Result<Term<'e>, Error> {
        let variable = self.variables.iter().rposition(|(name, _)| *name == first);
        let (mut type_ref, mut segments) = match variable {
            Some(place) => (self.variables[place].1.clone(), Vec::new()),
            None => {
                let property = self.property(&self.item, first, at).map_err(|error| Error {
                    why: format!("{} (strings and enum members must be quoted)", error.why),
                    ..error
                })?;
                (property.1, vec![property.0])
            }
        };
        while self.take_sign('/') {
            let (at, name) = self.word("the name of a property")?;
            if self.take_sign('(') {
                let path = FilterPath::new(variable, segments);
                return self.deeper(|parser| parser.any(path, &type_ref, name, at));
            }
            if type_ref.collection {
                return Err(Error { at, why: "test the elements of a collection with any(x: …)".into() });
            }
            let property = self.property(&type_ref, name, at)?;
            type_ref = property.1;
            segments.push(property.0);
        }
        let class = self.class(&type_ref).ok_or_else(|| Error {
            at,
            why: match type_ref.collection {
                true => format!("'{first}' is a collection; test its elements with any(x: …)"),
                false => format!("'{first}' is a complex value; name one of its properties after a /"),
            },
        })?;
        let path = match class {
            Class::Text => FilterPath::to_text(variable, segments),
            Class::Instant => FilterPath { is_instant: true, ..FilterPath::new(variable, segments) },
            _ => FilterPath::new(variable, segments),
        };
        Ok(Term::Operand(FilterOperand::Path(path), class))
    }

    /// Parses `any(x: …)` after its opening parenthesis.
    fn any(&mut self, path: FilterPath, type_ref: &TypeRef, name: &str, at: usize) -> Result<Term<'e>, Error> {
        if !name.eq_ignore_ascii_case("any") {
            return Err(Error { at, why: format!("'{name}' is not supported here; use any") });
        }
        if !type_ref.collection {
            return Err(Error { at, why: "any needs a collection".into() });
        }
        if self.take_sign(')') {
            return Ok(Term::Condition(FilterCondition::Any { path, condition: None }));
        }
        let (_, variable) = self.word("the name of a variable")?;
        self.expect_sign(':')?;
        self.variables.push((variable, TypeRef { collection: false, ..type_ref.clone() }));
        let condition = self.or_expression()?;
        self.variables.pop();
        self.expect_sign(')')?;
        Ok(Term::Condition(FilterCondition::Any { path, condition: Some(Box::new(condition)) }))
    }

    /// Returns a property in the model's spelling, with its type.
    fn property(&self, owner: &TypeRef, name: &str, at: usize) -> Result<(String, TypeRef), Error> {
        let declared = self.edm.type_named(&owner.name).and_then(|declared| declared.property(name));
        let property = declared.ok_or_else(|| Error {
            at,
            why: format!("there is no property '{name}' on {}", self.edm.qualified(&owner.name)),
        })?;
        Ok((property.name.clone(), property.type_ref.clone()))
    }

    fn class(&self, type_ref: &TypeRef) -> Option<Class<'e>> {
        if type_ref.collection {
            return None;
        }
        match type_ref.name.as_str() {
            "Edm.String" | "Edm.Guid" => Some(Class::Text),
            "Edm.Boolean" => Some(Class::Boolean),
            "Edm.Int32" | "Edm.Int64" | "Edm.Double" => Some(Class::Number),
            "Edm.DateTimeOffset" => Some(Class::Instant),
            "Edm.Date" => Some(Class::Date),
            name => self.edm.enum_named(name).map(Class::Enum),
        }
    }

    /// Parses one nesting level deeper.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == DEPTH_MAX {
            return Err(self.error(&format!("more than {DEPTH_MAX} nested levels")));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn peek(&self) -> Option<&FilterToken<'t>> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn advance(&mut self) -> Option<(usize, FilterToken<'t>)> {
        let token = self.tokens.get(self.next).cloned();
        self.next += usize::from(token.is_some());
        token
    }

    /// Returns the position of the next token.
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn error(&self, why: &str) -> Error {
        Error { at: self.at(), why: why.to_owned() }
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(FilterToken::Word(next)) if next.eq_ignore_ascii_case(word));
        self.next += usize::from(found);
        found
    }

    fn take_comparison(&mut self) -> Option<FilterComparison> {
        let words = [
            ("eq", FilterComparison::Eq),
            ("ne", FilterComparison::Ne),
            ("gt", FilterComparison::Gt),
            ("lt", FilterComparison::Lt),
            ("ge", FilterComparison::Ge),
            ("le", FilterComparison::Le),
        ];
        words.into_iter().find_map(|(word, comparison)| self.take_word(word).then_some(comparison))
    }

    fn word(&mut self, what: &str) -> Result<(usize, &'t str), Error> {
        let at = self.at();
        match self.advance() {
            Some((_, FilterToken::Word(word))) => Ok((at, word)),
            _ => Err(Error { at, why: format!("expected {what}") }),
        }
    }

    fn take_sign(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(&FilterToken::Sign(sign));
        self.next += usize::from(found);
        found
    }

    fn expect_sign(&mut self, sign: char) -> Result<(), Error> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.error(&format!("expected '{sign}'"))) }
    }
}

fn boolean(word: &str) -> Option<bool> {
    match word {
        _ if word.eq_ignore_ascii_case("true") => Some(true),
        _ if word.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn text_literal<'e>(text: String) -> Term<'e> {
    let literal = if is_guid(&text) { FilterLiteral::Guid(text) } else { FilterLiteral::Text(text) };
    Term::Operand(FilterOperand::Literal(literal), Class::Text)
}

/// Parses an unquoted value.
fn literal<'e>(word: &str) -> Option<(FilterLiteral, Class<'e>)> {
    if word.eq_ignore_ascii_case("null") {
        return Some((FilterLiteral::Null, Class::Null));
    }
    if let Some(value) = boolean(word) {
        return Some((FilterLiteral::Boolean(value), Class::Boolean));
    }
    if is_guid(word) {
        return Some((FilterLiteral::Guid(word.to_owned()), Class::Text));
    }
    if is_date(word) {
        return Some((FilterLiteral::Text(word.to_owned()), Class::Date));
    }
    if let Some(instant) = instant(word) {
        return Some((FilterLiteral::Instant(instant), Class::Instant));
    }
    if let Ok(number) = word.parse() {
        return Some((FilterLiteral::Integer(number), Class::Number));
    }
    // `inf` and `nan` would parse as numbers too, but are names here.
    let number = word.parse::<f64>().ok().filter(|_| begins_as_number(word));
    number.filter(|number| number.is_finite()).map(|number| (FilterLiteral::Decimal(number), Class::Number))
}

fn begins_as_number(word: &str) -> bool {
    word.starts_with(|first: char| "+-.0123456789".contains(first))
}

/// Converts a literal to the kind of the other side.
fn fit(literal: FilterLiteral, from: Class<'_>, to: Class<'_>, at: usize) -> Result<FilterLiteral, Error> {
    match (from, to, literal) {
        (Class::Null, _, literal) | (_, Class::Null, literal) => Ok(literal),
        (Class::Text, Class::Enum(declared), FilterLiteral::Text(text)) => {
            members(declared, &text, at).map(FilterLiteral::Text)
        }
        (Class::Text | Class::Date, Class::Instant, FilterLiteral::Text(text)) => {
            let midnight = || instant(&format!("{text}T00:00:00Z"));
            let read = if is_date(&text) { midnight() } else { instant(&text) };
            let expected = "expected a date and time such as 2025-01-31T08:30:00Z";
            read.map(FilterLiteral::Instant).ok_or_else(|| Error { at, why: expected.into() })
        }
        (Class::Text, Class::Date, FilterLiteral::Text(text)) if is_date(&text) => Ok(FilterLiteral::Text(text)),
        (from, to, literal) if is_same(from, to) => Ok(literal),
        (from, to, _) => Err(mismatch(from, to, at)),
    }
}

fn is_same(left: Class<'_>, right: Class<'_>) -> bool {
    match (left, right) {
        (Class::Enum(left), Class::Enum(right)) => left.name == right.name,
        (left, right) => std::mem::discriminant(&left) == std::mem::discriminant(&right),
    }
}

/// Returns enum members in the model's spelling; several, separated by commas, for a flags enum.
fn members(declared: &Enum, text: &str, at: usize) -> Result<String, Error> {
    if !declared.flags {
        return member(declared, text, at);
    }
    let members: Vec<String> =
        text.split(',').map(|name| member(declared, name.trim(), at)).collect::<Result<_, _>>()?;
    Ok(members.join(","))
}

fn member(declared: &Enum, name: &str, at: usize) -> Result<String, Error> {
    declared.member(name).map(str::to_owned).ok_or_else(|| {
        let known = declared.members.join(", ");
        Error { at, why: format!("'{name}' is not a member of {}; its members are {known}", declared.name) }
    })
}

fn mismatch(given: Class<'_>, expected: Class<'_>, at: usize) -> Error {
    Error { at, why: format!("expected {}, not {}", expected.name(), given.name()) }
}
