//! What expressions can speak of: inputs, their members, functions.

/// What is known of a value before there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    /// Anything: what clients, backends and issuers write.
    Any,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Null,
    /// The type of a value.
    Name,
    List(Box<Self>),
    /// By text.
    Map(Box<Self>),
    /// An input whose members are known.
    Object(&'static Object),
    /// A text that is one of these.
    Word(&'static [&'static str]),
}

/// An input whose members are known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) name: &'static str,
    pub(super) members: &'static [(&'static str, Member)],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Text,
    Object,
}

pub(super) const PRINCIPAL: Object = Object {
    name: "principal",
    members: &[
        ("method", Member::Text),
        ("issuer", Member::Text),
        ("subject", Member::Text),
        ("tenant", Member::Text),
        ("id", Member::Text),
    ],
};

pub(super) const ITEM: Object = Object {
    name: "item",
    members: &[("annotations", Member::Object), ("title", Member::Text)],
};

pub(super) const CLIENT: Object = Object {
    name: "client",
    members: &[("address", Member::Text), ("name", Member::Text)],
};

/// What `kind` can be.
pub(super) const KINDS: &[&str] = &["tool", "prompt", "resource", "resource_template"];

/// Every input, in the order in which documents show them.
pub(super) const INPUTS: [&str; 12] = [
    "principal",
    "claims",
    "scopes",
    "route",
    "backend",
    "kind",
    "name",
    "native",
    "item",
    "client",
    "method",
    "arguments",
];

/// The type of an input; `None` if there is none of that name.
pub(super) fn input(name: &str) -> Option<Type> {
    Some(match name {
        "principal" => Type::Object(&PRINCIPAL),
        "claims" | "arguments" => Type::Map(Box::new(Type::Any)),
        "scopes" => Type::List(Box::new(Type::String)),
        "route" | "backend" | "name" | "native" | "method" => Type::String,
        "kind" => Type::Word(KINDS),
        "item" => Type::Object(&ITEM),
        "client" => Type::Object(&CLIENT),
        _ => return None,
    })
}

/// Names of types, as `type(x) == string` writes them.
pub(super) const TYPE_NAMES: &[&str] = &[
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
];

/// What is called as `f(x)`.
pub(super) const FUNCTIONS: &[&str] = &[
    "size", "string", "int", "uint", "double", "bytes", "type", "dyn", "matches",
];

/// What is called as `x.f()`.
pub(super) const METHODS: &[&str] = &["size", "contains", "startsWith", "endsWith", "matches"];

/// What is called as either and expanded before anything runs.
pub(super) const MACROS: &[&str] = &["has", "all", "exists", "exists_one", "map", "filter"];

impl Object {
    /// The type of a member; `None` if there is none of that name.
    pub(super) fn member(&self, name: &str) -> Option<Type> {
        let (_, member) = self.members.iter().find(|(known, _)| *known == name)?;
        Some(match member {
            Member::Text => Type::String,
            Member::Object => Type::Map(Box::new(Type::Any)),
        })
    }

    /// All members, for messages.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.members.iter().map(|(name, _)| *name)
    }
}

impl Type {
    /// Whether a value of this type can be one of `other`.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::String | Self::Word(_), Self::String | Self::Word(_)) => true,
            (Self::List(one), Self::List(two)) => one.may_be(two),
            (Self::Map(one), Self::Map(two)) => one.may_be(two),
            (Self::Map(_), Self::Object(_)) | (Self::Object(_), Self::Map(_)) => true,
            _ => self == other,
        }
    }

    /// Whether it can be compared with `other` and come out as equal.
    pub(super) fn may_equal(&self, other: &Self) -> bool {
        self.may_be(other) || self.is_number() && other.is_number()
    }

    pub(super) const fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    pub(super) const fn is_text(&self) -> bool {
        matches!(self, Self::String | Self::Word(_))
    }

    /// With its article, for messages.
    pub(super) const fn noun(&self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Bool => "a bool",
            Self::Int => "an int",
            Self::Uint => "a uint",
            Self::Double => "a double",
            Self::String | Self::Word(_) => "a string",
            Self::Bytes => "bytes",
            Self::Null => "null",
            Self::Name => "a type",
            Self::List(_) => "a list",
            Self::Map(_) | Self::Object(_) => "a map",
        }
    }
}
