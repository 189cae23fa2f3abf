//! Finds in an expression what cannot be right whatever it is evaluated with.
//!
//! Types are followed as far as they are known; what comes from clients, backends and issuers may be anything. So nothing is
//! refused that could be true for some caller and item.

use cel::IdedExpr;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, SourceInfo, operators,
};

use super::vocabulary::{FUNCTIONS, INPUTS, MACROS, METHODS, TYPE_NAMES, Type, input};

/// Something wrong in an expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Where, in characters from the start of the expression.
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// Everything that is known to be wrong with an expression that has to be true or false.
pub(super) fn mistakes(expression: &IdedExpr, source: &SourceInfo) -> Vec<Mistake> {
    let mut checker = Checker {
        source,
        scope: Vec::new(),
        found: Vec::new(),
    };
    let result = checker.infer(expression);
    if !result.may_be(&Type::Bool) {
        let message = format!("this is {}, not true or false", result.noun());
        checker.complain(expression, message, None);
    }
    checker.found
}

struct Checker<'a> {
    source: &'a SourceInfo,
    /// Variables of the macros around a place, innermost last.
    scope: Vec<(String, Type)>,
    found: Vec<Mistake>,
}

impl Checker<'_> {
    fn complain(&mut self, place: &IdedExpr, message: String, help: Option<String>) {
        let start = self.source.offset_for(place.id);
        let start = start.map_or(0, |(start, _)| start as usize);
        let before = self.source.source.get(..start);
        let at = before.map_or(start, |before| before.chars().count());
        let mistake = Mistake { at, message, help };
        if !self.found.contains(&mistake) {
            self.found.push(mistake);
        }
    }

    fn infer(&mut self, expression: &IdedExpr) -> Type {
        match &expression.expr {
            Expr::Literal(literal) => literal_type(literal),
            Expr::Ident(name) => self.ident(expression, name),
            Expr::Select(select) => self.select(expression, select),
            Expr::Call(call) => self.call(expression, call),
            Expr::List(list) => {
                let elements: Vec<_> = list.elements.iter().map(|e| self.infer(e)).collect();
                Type::List(Box::new(common(elements)))
            }
            Expr::Map(map) => {
                let mut values = Vec::new();
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.infer(&entry.key);
                        values.push(self.infer(&entry.value));
                    }
                }
                Type::Map(Box::new(common(values)))
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(structure) => {
                let message = format!("there is no type `{}`", structure.type_name);
                self.complain(expression, message, None);
                Type::Any
            }
            Expr::Unspecified => Type::Any,
        }
    }

    fn ident(&mut self, place: &IdedExpr, name: &str) -> Type {
        let local = self.scope.iter().rev().find(|(known, _)| known == name);
        if let Some((_, local)) = local {
            return local.clone();
        }
        // `.name` means the input, whatever a macro calls its variable.
        let plain = name.strip_prefix('.').unwrap_or(name);
        if let Some(input) = input(plain) {
            return input;
        }
        if TYPE_NAMES.contains(&plain) {
            return Type::Name;
        }
        let message = format!("there is no `{plain}` here");
        let help = closest(plain, &INPUTS).map_or_else(
            || format!("there are {}", quoted(INPUTS.into_iter())),
            |guess| format!("did you mean `{guess}`?"),
        );
        self.complain(place, message, Some(help));
        Type::Any
    }

    fn select(&mut self, place: &IdedExpr, select: &SelectExpr) -> Type {
        let operand = self.infer(&select.operand);
        let found = self.member(place, &operand, &select.field);
        if select.test { Type::Bool } else { found }
    }

    fn member(&mut self, place: &IdedExpr, of: &Type, name: &str) -> Type {
        match of {
            Type::Any => Type::Any,
            Type::Map(value) => (**value).clone(),
            Type::Object(object) => object.member(name).unwrap_or_else(|| {
                let message = format!("`{}` has no member `{name}`", object.name);
                let help = format!("it has {}", quoted(object.names()));
                self.complain(place, message, Some(help));
                Type::Any
            }),
            other => {
                let message = format!("{} has no member `{name}`", other.noun());
                self.complain(place, message, None);
                Type::Any
            }
        }
    }

    fn call(&mut self, place: &IdedExpr, call: &CallExpr) -> Type {
        if let Some(target) = &call.target {
            return self.method(place, target, call);
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                self.must_be(left, &Type::Bool);
                self.must_be(right, &Type::Bool);
                Type::Bool
            }
            (operators::LOGICAL_NOT, [operand]) => {
                self.must_be(operand, &Type::Bool);
                Type::Bool
            }
            (operators::NOT_STRICTLY_FALSE, _) => Type::Bool,
            (operators::CONDITIONAL, [condition, one, other]) => {
                self.must_be(condition, &Type::Bool);
                let (one, other) = (self.infer(one), self.infer(other));
                common(vec![one, other])
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                self.comparison(place, left, right);
                Type::Bool
            }
            (
                operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                [left, right],
            ) => {
                self.order(place, left, right);
                Type::Bool
            }
            (operators::IN, [left, right]) => self.containment(place, left, right),
            (operators::INDEX, [of, index]) => self.index(place, of, index),
            (
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO,
                [left, right],
            ) => self.arithmetic(place, &call.func_name, left, right),
            (operators::NEGATE, [operand]) => {
                let found = self.infer(operand);
                if found != Type::Any && !found.is_number() {
                    let message = format!("{} cannot be negated", found.noun());
                    self.complain(place, message, None);
                }
                found
            }
            (name, arguments) => self.function(place, name, arguments),
        }
    }

    fn method(&mut self, place: &IdedExpr, target: &IdedExpr, call: &CallExpr) -> Type {
        let name = call.func_name.as_str();
        if !METHODS.contains(&name) {
            return self.unknown_function(place, name, METHODS);
        }
        if name == "size" {
            return self.size(place, target, &call.args);
        }
        self.must_be(target, &Type::String);
        match call.args.as_slice() {
            [argument] => {
                self.must_be(argument, &Type::String);
                if name == "matches" {
                    self.pattern(argument);
                }
            }
            _ => self.complain(place, format!("`{name}` takes one argument"), None),
        }
        Type::Bool
    }

    fn function(&mut self, place: &IdedExpr, name: &str, arguments: &[IdedExpr]) -> Type {
        if !FUNCTIONS.contains(&name) {
            return self.unknown_function(place, name, FUNCTIONS);
        }
        match (name, arguments) {
            ("size", [target]) => self.size(place, target, &[]),
            ("matches", [text, pattern]) => {
                self.must_be(text, &Type::String);
                self.must_be(pattern, &Type::String);
                self.pattern(pattern);
                Type::Bool
            }
            (_, [argument]) if name != "matches" => {
                self.infer(argument);
                match name {
                    "string" => Type::String,
                    "int" => Type::Int,
                    "uint" => Type::Uint,
                    "double" => Type::Double,
                    "bytes" => Type::Bytes,
                    "type" => Type::Name,
                    _ => Type::Any,
                }
            }
            _ => {
                let count = if name == "matches" {
                    "two arguments"
                } else {
                    "one argument"
                };
                self.complain(place, format!("`{name}` takes {count}"), None);
                Type::Any
            }
        }
    }

    fn unknown_function(&mut self, place: &IdedExpr, name: &str, known: &[&str]) -> Type {
        let message = if MACROS.contains(&name) {
            format!("`{name}` is not used like this")
        } else {
            format!("there is no function `{name}`")
        };
        let all: Vec<&str> = known.iter().chain(MACROS).copied().collect();
        let help = closest(name, &all).map_or_else(
            || format!("there are {}", quoted(all.iter().copied())),
            |guess| format!("did you mean `{guess}`?"),
        );
        self.complain(place, message, Some(help));
        Type::Any
    }

    fn size(&mut self, place: &IdedExpr, target: &IdedExpr, rest: &[IdedExpr]) -> Type {
        if !rest.is_empty() {
            self.complain(place, "`size` takes one argument".to_owned(), None);
        }
        let found = self.infer(target);
        if matches!(found, Type::Bool | Type::Null | Type::Name) || found.is_number() {
            let message = format!("{} has no size", found.noun());
            self.complain(place, message, None);
        }
        Type::Int
    }

    fn pattern(&mut self, pattern: &IdedExpr) {
        if let Expr::Literal(LiteralValue::String(text)) = &pattern.expr
            && let Err(error) = regex::Regex::new(text.inner())
        {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default();
            let why = why.trim_start_matches("error: ").to_owned();
            self.complain(pattern, "not a regular expression".to_owned(), Some(why));
        }
    }

    fn must_be(&mut self, expression: &IdedExpr, wanted: &Type) {
        let found = self.infer(expression);
        if !found.may_be(wanted) {
            let (found, wanted) = (found.noun(), wanted.noun());
            let message = format!("this is {found}, and has to be {wanted}");
            self.complain(expression, message, None);
        }
    }

    fn comparison(&mut self, place: &IdedExpr, left: &IdedExpr, right: &IdedExpr) {
        let types = (self.infer(left), self.infer(right));
        for (words, other) in [(&types.0, right), (&types.1, left)] {
            self.word(words, other);
        }
        let (one, other) = types;
        if one == Type::Null || other == Type::Null || one.may_equal(&other) {
            return;
        }
        let message = format!("{} never equals {}", one.noun(), other.noun());
        self.complain(place, message, None);
    }

    /// Complains about a text that is compared with words of which it is none.
    fn word(&mut self, words: &Type, literal: &IdedExpr) {
        let Type::Word(words) = words else { return };
        let Expr::Literal(LiteralValue::String(text)) = &literal.expr else {
            return;
        };
        if !words.contains(&text.inner()) {
            let message = format!("this is never `{}`", text.inner());
            let help = format!("it is one of {}", quoted(words.iter().copied()));
            self.complain(literal, message, Some(help));
        }
    }

    fn order(&mut self, place: &IdedExpr, left: &IdedExpr, right: &IdedExpr) {
        let (one, other) = (self.infer(left), self.infer(right));
        let ordered = |t: &Type| {
            t.is_number() || t.is_text() || matches!(t, Type::Any | Type::Bool | Type::Bytes)
        };
        if !ordered(&one) || !ordered(&other) || !one.may_equal(&other) {
            let message = format!("{} and {} have no order", one.noun(), other.noun());
            self.complain(place, message, None);
        }
    }

    fn containment(&mut self, place: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> Type {
        let (member, container) = (self.infer(left), self.infer(right));
        if let Expr::List(list) = &right.expr {
            for element in &list.elements {
                self.word(&member, element);
            }
        }
        match &container {
            Type::List(element) if !member.may_equal(element) => {
                let (member, element) = (member.noun(), element.noun());
                let message = format!("{member} is never in a list of which each is {element}");
                self.complain(place, message, None);
            }
            Type::Any | Type::List(_) | Type::Map(_) | Type::Object(_) => {}
            other => {
                let message = format!("nothing is `in` {}", other.noun());
                let help = other
                    .is_text()
                    .then(|| "a part of a text is looked for by `text.contains(part)`".to_owned());
                self.complain(place, message, help);
            }
        }
        Type::Bool
    }

    fn index(&mut self, place: &IdedExpr, of: &IdedExpr, index: &IdedExpr) -> Type {
        let (container, key) = (self.infer(of), self.infer(index));
        match (&container, &index.expr) {
            (Type::Object(_), Expr::Literal(LiteralValue::String(name))) => {
                self.member(place, &container, name.inner())
            }
            (Type::Any | Type::Object(_), _) => Type::Any,
            (Type::Map(value), _) => (**value).clone(),
            (Type::List(element), _) => {
                if key != Type::Any && !key.is_number() {
                    let message = format!("a list has no place {}", key.noun());
                    self.complain(index, message, None);
                }
                (**element).clone()
            }
            (other, _) => {
                let message = format!("{} has no parts", other.noun());
                self.complain(place, message, None);
                Type::Any
            }
        }
    }

    fn arithmetic(
        &mut self,
        place: &IdedExpr,
        operator: &str,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Type {
        let (one, other) = (self.infer(left), self.infer(right));
        let joins = operator == operators::ADD;
        let fits = |t: &Type| {
            *t == Type::Any
                || t.is_number()
                || joins && (t.is_text() || matches!(t, Type::Bytes | Type::List(_)))
        };
        if !fits(&one) || !fits(&other) || !one.may_be(&other) {
            let sign = operator.trim_matches('_');
            let message = format!("no `{sign}` of {} and {}", one.noun(), other.noun());
            self.complain(place, message, None);
            return Type::Any;
        }
        match (one, other) {
            (Type::Any, known) | (known, Type::Any) => known,
            (one, other) if one.is_text() && other.is_text() => Type::String,
            (one, other) => common(vec![one, other]),
        }
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Type {
        let range = self.infer(&comprehension.iter_range);
        let (first, second) = match &range {
            Type::List(element) => ((**element).clone(), Type::Any),
            Type::Map(value) => (Type::String, (**value).clone()),
            Type::Object(_) => (Type::String, Type::Any),
            Type::Any => (Type::Any, Type::Any),
            other => {
                let message = format!("{} has no elements", other.noun());
                self.complain(&comprehension.iter_range, message, None);
                (Type::Any, Type::Any)
            }
        };
        let gathered = match self.infer(&comprehension.accu_init) {
            Type::List(_) => Type::List(Box::new(Type::Any)),
            other => other,
        };
        let depth = self.scope.len();
        self.scope.push((comprehension.accu_var.clone(), gathered));
        self.scope.push((comprehension.iter_var.clone(), first));
        if let Some(name) = &comprehension.iter_var2 {
            self.scope.push((name.clone(), second));
        }
        self.infer(&comprehension.loop_cond);
        self.infer(&comprehension.loop_step);
        self.scope.truncate(depth + 1);
        let result = self.infer(&comprehension.result);
        self.scope.truncate(depth);
        result
    }
}

/// What several values have in common.
fn common(types: Vec<Type>) -> Type {
    let mut types = types.into_iter();
    let Some(first) = types.next() else {
        return Type::Any;
    };
    types.fold(first, |one, other| match (one, other) {
        (one, other) if one == other => one,
        (one, other) if one.is_text() && other.is_text() => Type::String,
        _ => Type::Any,
    })
}

const fn literal_type(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::String,
        LiteralValue::UInt(_) => Type::Uint,
    }
}

fn quoted<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// The name that was probably meant.
fn closest<'n>(written: &str, known: &[&'n str]) -> Option<&'n str> {
    let distance = |name: &str| {
        let (one, other) = (written.to_lowercase(), name.to_lowercase());
        let mut row: Vec<usize> = (0..=other.chars().count()).collect();
        for (i, left) in one.chars().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, right) in other.chars().enumerate() {
                let changed = diagonal + usize::from(left != right);
                diagonal = row[j + 1];
                row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
            }
        }
        row.last().copied().unwrap_or_default()
    };
    let (near, name) = known.iter().map(|name| (distance(name), *name)).min()?;
    (near <= 1 + written.len() / 4).then_some(name)
}
